"""What both clients have besides their areas: tokens, views, and a log-in that is under way."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakSet

import httpx

import pulse_sdk
from pulse_sdk._areas import Areas, cached_property
from pulse_sdk._flow import Flow
from pulse_sdk.options import Retries

if TYPE_CHECKING:
    import pulse_sdk.realtime

AsyncPulseT = TypeVar("AsyncPulseT", bound="pulse_sdk.AsyncPulse")


class BaseClient(Areas):
    """What both clients have besides the areas."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.credentials = flow.credentials
        # A view renews tokens as its client does: they are for all.
        self._renewals = flow
        self._is_view = False
        self._listening: WeakSet[Any] = WeakSet()

    @property
    def tokens(self) -> pulse_sdk.Tokens | None:
        """The log-in's tokens as they are now, to be stored and given to a client's `token` later.

        Their JSON (`model_dump_json`) shows them, `repr` does not. None when nobody is logged in.
        """
        return self.credentials.tokens

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        deadline: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """A view of this client whose calls are made differently; cheap, to be made per call.

            client.with_options(deadline=2, retries=0).feed.list()

        It shares connections, tokens, hooks and breaker, and is closed with its client.

        Args:
            timeout: Seconds to connect, and between two pieces of an answer; `math.inf` for none.
            deadline: Seconds for a call with all its attempts and waits; `math.inf` for none.
            retries: When and how often a call is repeated, or just how often; 0 for not at all.
            headers: Go along with each request, besides those of the client.

        Raises:
            InvalidInput: A value that cannot be used.
        """
        options = self.flow.options.changed(
            timeout=timeout, deadline=deadline, retries=retries, headers=headers
        )
        view = copy(self)
        for name in list(vars(view)):
            if isinstance(getattr(type(view), name, None), cached_property):
                del vars(view)[name]  # An area is bound to its client.
        view.flow = replace(self.flow, options=options)
        view._is_view = True
        return view

    @cached_property
    def realtime(self) -> pulse_sdk.realtime.Realtime[Self]:
        """Messages as they are sent."""
        from pulse_sdk.realtime import Realtime

        return Realtime(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.flow.base_url}, {self.credentials!r}>"


class LogIn(Generic[AsyncPulseT]):
    """A log-in on its way; awaiting it, or `async with`, gives the client."""

    def __init__(self, client: AsyncPulseT, call: Coroutine[Any, Any, pulse_sdk.Tokens]) -> None:
        self._client = client
        self._call = call

    async def _done(self) -> AsyncPulseT:
        try:
            await self._call
        except BaseException:
            await self._client.aclose()
            raise
        return self._client

    def __await__(self) -> Generator[Any, None, AsyncPulseT]:
        return self._done().__await__()

    async def __aenter__(self) -> AsyncPulseT:
        return await self._done()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()
