"""The clients: options, namespaces, lifecycle, and how each carries out the steps of a call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel

from pulse_sdk._flow import Flow, OpenSocket, RefreshTokens, Retries, Send, Sleep, Step
from pulse_sdk.auth import Credentials
from pulse_sdk.contract.common import Page
from pulse_sdk.errors import InvalidInput
from pulse_sdk.paging import AsyncListing, Listing

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pulse_sdk._call import Call
    from pulse_sdk.contract.users import Tokens
    from pulse_sdk.realtime import AsyncFrames, Frames, Realtime
    from pulse_sdk.resources.auth import Auth
    from pulse_sdk.resources.conversations import Conversations
    from pulse_sdk.resources.events import Events
    from pulse_sdk.resources.feed import Feed
    from pulse_sdk.resources.notifications import Notifications
    from pulse_sdk.resources.posts import Posts
    from pulse_sdk.resources.social import Social
    from pulse_sdk.resources.users import Users

T = TypeVar("T")
PageT = TypeVar("PageT", bound=Page[Any])
FrameT = TypeVar("FrameT", bound=BaseModel)

DEFAULT_TIMEOUT = 10.0
"""Seconds to connect, and between two pieces of an answer."""


class BaseClient:
    """What both clients have: the namespaces, each imported when it is first used."""

    def __init__(self, base_url: str, token: str | Tokens | None, retries: Retries | None) -> None:
        self.credentials = Credentials(token)
        self.flow = Flow(_checked(base_url), retries or Retries(), self.credentials)

    @cached_property
    def auth(self) -> Auth[Self]:
        """Registering, logging in and out."""
        from pulse_sdk.resources.auth import Auth

        return Auth(self)

    @cached_property
    def users(self) -> Users[Self]:
        """Profiles."""
        from pulse_sdk.resources.users import Users

        return Users(self)

    @cached_property
    def posts(self) -> Posts[Self]:
        """Posts, likes and comments."""
        from pulse_sdk.resources.posts import Posts

        return Posts(self)

    @cached_property
    def social(self) -> Social[Self]:
        """Who follows whom."""
        from pulse_sdk.resources.social import Social

        return Social(self)

    @cached_property
    def feed(self) -> Feed[Self]:
        """The home feed."""
        from pulse_sdk.resources.feed import Feed

        return Feed(self)

    @cached_property
    def conversations(self) -> Conversations[Self]:
        """Conversations and their messages."""
        from pulse_sdk.resources.conversations import Conversations

        return Conversations(self)

    @cached_property
    def notifications(self) -> Notifications[Self]:
        """What happened and concerns the caller."""
        from pulse_sdk.resources.notifications import Notifications

        return Notifications(self)

    @cached_property
    def events(self) -> Events[Self]:
        """Events that people attend."""
        from pulse_sdk.resources.events import Events

        return Events(self)

    @cached_property
    def realtime(self) -> Realtime[Self]:
        """Messages as they are sent."""
        from pulse_sdk.realtime import Realtime

        return Realtime(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.flow.base_url}, {self.credentials!r}>"


class Pulse(BaseClient):
    """A blocking client; one may be shared by several threads.

        with Pulse("http://127.0.0.1:8000") as client:
            client.auth.login("ada", password)
            client.posts.create("Hello")

    Args:
        base_url: The gateway's address, without `/api/v1`.
        token: An access token, or the `Tokens` of an earlier log-in. Not needed to log in.
        timeout: Seconds to connect, and between two pieces of an answer. 10, or what
            `http_client` has, when left out.
        retries: When and how often a call is repeated.
        http_client: Sends the requests in place of a client of our own, and is never closed.

    Raises:
        InvalidInput: `base_url` or `token` cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | Tokens | None = None,
        timeout: float | None = None,
        retries: Retries | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        super().__init__(base_url, token, retries)
        self._timeout = _timeout(timeout, http_client)
        self._http = http_client or httpx.Client()
        self._owns_http = http_client is None
        self._refreshing = threading.Lock()

    def send(self, call: Call[T]) -> T:
        """Send a call and return its answer; raises as `Flow.run` does."""
        return self.drive(self.flow.run(call))

    def list(self, call: Call[PageT]) -> Listing[PageT]:
        """The list that starts with this call."""
        return Listing(self.send, call)

    def listen(
        self, kinds: tuple[type[FrameT], ...], after: int | None, heartbeat: float
    ) -> Frames[FrameT]:
        """Frames of some kinds from the WebSocket."""
        from pulse_sdk.realtime import Frames

        return Frames(self, kinds, after, heartbeat)

    def drive(self, flow: Generator[Step, Any, T]) -> T:
        """Carry out a flow's steps until it returns or raises."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._perform(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            flow.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Send():
                request = _request(self._http, step, self._timeout)
                return self._http.send(request, follow_redirects=False)
            case Sleep():
                return time.sleep(step.seconds)
            case RefreshTokens():
                with self._refreshing:
                    return self.drive(self.flow.refresh(step.stale))
            case OpenSocket():
                from pulse_sdk.realtime import open_socket

                return open_socket(step)

    def close(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncPulse(BaseClient):
    """An asynchronous client; one serves all tasks of an event loop.

        async with AsyncPulse("http://127.0.0.1:8000") as client:
            await client.auth.login("ada", password)
            await client.posts.create("Hello")

    Args:
        base_url: The gateway's address, without `/api/v1`.
        token: An access token, or the `Tokens` of an earlier log-in. Not needed to log in.
        timeout: Seconds to connect, and between two pieces of an answer. 10, or what
            `http_client` has, when left out.
        retries: When and how often a call is repeated.
        http_client: Sends the requests in place of a client of our own, and is never closed.

    Raises:
        InvalidInput: `base_url` or `token` cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | Tokens | None = None,
        timeout: float | None = None,
        retries: Retries | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(base_url, token, retries)
        self._timeout = _timeout(timeout, http_client)
        self._http = http_client or httpx.AsyncClient()
        self._owns_http = http_client is None
        self._refreshing: asyncio.Task[bool] | None = None

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its answer; raises as `Flow.run` does."""
        return await self.drive(self.flow.run(call))

    def list(self, call: Call[PageT]) -> AsyncListing[PageT]:
        """The list that starts with this call."""
        return AsyncListing(self.send, call)

    def listen(
        self, kinds: tuple[type[FrameT], ...], after: int | None, heartbeat: float
    ) -> AsyncFrames[FrameT]:
        """Frames of some kinds from the WebSocket."""
        from pulse_sdk.realtime import AsyncFrames

        return AsyncFrames(self, kinds, after, heartbeat)

    async def drive(self, flow: Generator[Step, Any, T]) -> T:
        """Carry out a flow's steps until it returns or raises."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._perform(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            flow.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Send():
                request = _request(self._http, step, self._timeout)
                return await self._http.send(request, follow_redirects=False)
            case Sleep():
                return await asyncio.sleep(step.seconds)
            case RefreshTokens():
                return await self._refresh(step.stale)
            case OpenSocket():
                from pulse_sdk.realtime import open_async_socket

                return await open_async_socket(step)

    async def _refresh(self, stale: str) -> bool:
        # A task of its own, shielded: a refresh token works once, so cancelling one of the calls
        # that wait for the new tokens must not lose them for the others.
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self.drive(self.flow.refresh(stale)))
            self._refreshing.add_done_callback(self._refreshed)
        return await asyncio.shield(self._refreshing)

    def _refreshed(self, task: asyncio.Task[bool]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # Seen, even if every call that waited for it is gone.

    async def aclose(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _timeout(
    timeout: float | None, http_client: httpx.Client | httpx.AsyncClient | None
) -> httpx.Timeout:
    if timeout is None and http_client is not None:
        return http_client.timeout
    return httpx.Timeout(DEFAULT_TIMEOUT if timeout is None else timeout)


def _request(
    http: httpx.Client | httpx.AsyncClient, step: Send, timeout: httpx.Timeout
) -> httpx.Request:
    return http.build_request(
        step.method,
        step.url,
        params=step.query or None,
        headers=step.headers,
        content=step.content,
        timeout=timeout,
    )


def _checked(base_url: str) -> str:
    """The base URL without a final slash."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidInput.of("base_url", f"not a URL: {error}") from None
    if url.userinfo:
        raise InvalidInput.of("base_url", "must not hold a user name or password; log in instead")
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInput.of(
            "base_url", f"{base_url!r} must look like http://127.0.0.1:8000 or https://example.org"
        )
    if url.query or url.fragment:
        raise InvalidInput.of("base_url", f"{base_url!r} must have no query and no fragment")
    path = url.path.rstrip("/")
    if path.endswith("/api/v1"):
        raise InvalidInput.of("base_url", f"{base_url!r} must not include /api/v1")
    return str(url.copy_with(path=path or "/")).rstrip("/")
