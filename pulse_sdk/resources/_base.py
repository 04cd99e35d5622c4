"""How one builder per endpoint becomes a blocking and an asynchronous method.

A builder takes what the caller gives and returns the `Call`. `endpoint` and `listing` bind it to
its area: an area of `Pulse` gets a method that returns the answer, an area of `AsyncPulse` a
coroutine function, each with the builder's own parameters and docs, so there is nothing to keep
in step. `inspect.signature` and `help` say what each returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from types import MethodType, NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_type_hints,
    overload,
)

from pydantic import ValidationError

from pulse_sdk._areas import Kind
from pulse_sdk._call import Call
from pulse_sdk.errors import InvalidInput

if TYPE_CHECKING:
    from pulse_sdk._areas import Areas
    from pulse_sdk.client import AsyncPulse, Pulse
    from pulse_sdk.contract.common import Page
    from pulse_sdk.paging import AsyncListing, Listing
    from pulse_sdk.raw import Answer, AsyncRawPulse, RawPulse

P = ParamSpec("P")
T = TypeVar("T")
PageT = TypeVar("PageT", bound="Page[Any]")
ClientT_co = TypeVar("ClientT_co", bound="Areas", covariant=True)


class Resource(Generic[ClientT_co]):
    """One area of the API, bound to a client."""

    def __init__(self, client: ClientT_co) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"


class _Builder:
    """A builder, and what was made of it for each kind of client that used it.

    Coroutines are typed without `Any`, at which mypy would give up on `asyncio.gather`.
    """

    _sends: str
    """The client's method that takes the call."""

    def __init__(self, build: Callable[..., Call[Any]]) -> None:
        self._build = build
        self._methods: dict[Kind, Callable[..., Any]] = {}
        self.__doc__ = build.__doc__

    def _bound(self, area: Resource[Any] | None) -> Callable[..., Any]:
        kind = _blocking() if area is None else area._client._kind
        method = self._methods.get(kind)
        if method is None:
            method = self._methods[kind] = _method(self._build, self._sends, kind)
        return method if area is None else MethodType(method, area)


def _blocking() -> Kind:
    """What `help` and the reference show of a method that belongs to no client."""
    from pulse_sdk.client import Pulse

    return Pulse._kind


class endpoint(_Builder, Generic[P, T]):
    """Makes a builder a method that sends the call and returns the answer.

    Raises, besides what `Flow.run` raises:
        InvalidInput: An argument breaks the contract; nothing was sent.
    """

    _sends = "send"

    if TYPE_CHECKING:

        def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None: ...

    @overload
    def __get__(self, area: None, owner: type) -> Callable[Concatenate[Any, P], T]: ...
    @overload
    def __get__(self, area: Resource[Pulse], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncPulse], owner: type
    ) -> Callable[P, Coroutine[object, None, T]]: ...
    @overload
    def __get__(self, area: Resource[RawPulse], owner: type) -> Callable[P, Answer[T]]: ...
    @overload
    def __get__(
        self, area: Resource[AsyncRawPulse], owner: type
    ) -> Callable[P, Coroutine[object, None, Answer[T]]]: ...
    def __get__(self, area: Resource[Any] | None, owner: type) -> Any:
        return self._bound(area)


class listing(_Builder, Generic[P, PageT]):
    """Makes a builder a method that returns a list, which sends the call when it is used."""

    _sends = "list"

    if TYPE_CHECKING:

        def __init__(self, build: Callable[Concatenate[Any, P], Call[PageT]]) -> None: ...

    @overload
    def __get__(self, area: None, owner: type) -> Callable[Concatenate[Any, P], Listing[PageT]]: ...
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
    ) -> Callable[P, Coroutine[object, None, Answer[PageT]]]: ...
    def __get__(self, area: Resource[Any] | None, owner: type) -> Any:
        return self._bound(area)


def _method(build: Callable[..., Call[Any]], sends: str, kind: Kind) -> Callable[..., Any]:
    area_name, _, name = build.__qualname__.rpartition(".")
    operation = f"{area_name.lower()}.{name}"
    method: Callable[..., Any]

    def blocking(area: Resource[Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            call = _call(build, area, args, kwargs)
        finally:
            del args, kwargs  # A traceback may show what its frames hold.
        call.operation = operation
        return getattr(area._client, sends)(call)

    async def asynchronous(area: Resource[Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            call = _call(build, area, args, kwargs)
        finally:
            del args, kwargs
        call.operation = operation
        return await getattr(area._client, sends)(call)

    container, awaited = kind.returns[sends]
    method = wraps(build)(asynchronous if awaited else blocking)
    hints, returned = _hints(build, container)
    signature = inspect.signature(build)
    parameters = [
        one.replace(annotation=hints.get(one.name, one.empty))
        for one in signature.parameters.values()
    ]
    signature = signature.replace(parameters=parameters, return_annotation=returned)
    method.__signature__ = signature  # type: ignore[attr-defined]
    method.__annotations__ = {**hints, "return": returned}
    return method


def _hints(build: Callable[..., Call[Any]], container: Any) -> tuple[dict[str, Any], Any]:
    """The types of a builder's parameters, and that which a method made of it returns.

    Types, not their names: programs that look at a method know nothing of the module's imports.
    """
    hints = get_type_hints(build, include_extras=True)
    (answer,) = get_args(hints.pop("return"))  # of a Call
    answer = None if answer is NoneType else answer
    return hints, answer if container is None else container[answer]


def _call(
    build: Callable[..., Call[Any]],
    area: Resource[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Call[Any]:
    try:
        return build(area, *args, **kwargs)
    except ValidationError as error:
        # Not chained: pydantic's own error shows the values, which may be secrets.
        raise InvalidInput.from_validation(error) from None
    finally:
        del args, kwargs
