"""How one builder per endpoint becomes a blocking and an asynchronous method.

A builder takes what the caller gives and returns the `Call`. `endpoint` and `listing` bind it to
its area: an area of `Pulse` gets a method that returns the answer, an area of `AsyncPulse` one
that returns its coroutine, each with the builder's own parameters, so there is nothing to keep
in step.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from pydantic import ValidationError

from pulse_sdk._call import Call
from pulse_sdk.contract.common import Page
from pulse_sdk.errors import InvalidInput

if TYPE_CHECKING:
    from typing import Self

    from pulse_sdk._areas import Areas
    from pulse_sdk.client import AsyncPulse, Pulse
    from pulse_sdk.paging import AsyncListing, Listing
    from pulse_sdk.raw import Answer, AsyncRawPulse, RawPulse

P = ParamSpec("P")
T = TypeVar("T")
PageT = TypeVar("PageT", bound=Page[Any])
ClientT_co = TypeVar("ClientT_co", bound="Areas", covariant=True)


class Resource(Generic[ClientT_co]):
    """One area of the API, bound to a client."""

    def __init__(self, client: ClientT_co) -> None:
        self._client = client


class endpoint(Generic[P, T]):
    """Makes a builder a method that sends the call and returns the answer.

    Raises, besides what `Flow.run` raises:
        InvalidInput: An argument breaks the contract; nothing was sent.
    """

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._method = _bindable(build, lambda client, call: client.send(call))
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, area: None, owner: type) -> Self: ...
    @overload
    def __get__(self, area: Resource[Pulse], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncPulse], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, area: Resource[RawPulse], owner: type) -> Callable[P, Answer[T]]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncRawPulse], owner: type
    ) -> Callable[P, Coroutine[Any, Any, Answer[T]]]: ...
    def __get__(self, area: Resource[Any] | None, owner: type) -> Any:
        return self if area is None else MethodType(self._method, area)


class listing(Generic[P, PageT]):
    """Makes a builder a method that returns a list, which sends the call when it is used."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[PageT]]) -> None:
        self._method = _bindable(build, lambda client, call: client.list(call))
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, area: None, owner: type) -> Self: ...
    @overload
    def __get__(self, area: Resource[Pulse], owner: type) -> Callable[P, Listing[PageT]]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncPulse], owner: type
    ) -> Callable[P, AsyncListing[PageT]]: ...
    @overload
    def __get__(self, area: Resource[RawPulse], owner: type) -> Callable[P, Answer[PageT]]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncRawPulse], owner: type
    ) -> Callable[P, Coroutine[Any, Any, Answer[PageT]]]: ...
    def __get__(self, area: Resource[Any] | None, owner: type) -> Any:
        return self if area is None else MethodType(self._method, area)


def _bindable(
    build: Callable[Concatenate[Any, P], Call[Any]], invoke: Callable[[Any, Call[Any]], Any]
) -> Callable[..., Any]:
    area_name, _, name = build.__qualname__.rpartition(".")
    operation = f"{area_name.lower()}.{name}"

    @wraps(build)
    def method(area: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            call = build(area, *args, **kwargs)
        except ValidationError as error:
            # Not chained: pydantic's own error shows the values, which may be secrets.
            raise InvalidInput.from_validation(error) from None
        finally:
            del args, kwargs  # A traceback may show what its frames hold.
        call.operation = operation
        return invoke(area._client, call)

    return method
