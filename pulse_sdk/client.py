"""The clients: options, lifecycle, and how each carries out the steps of a call."""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack

import httpx
from pydantic import BaseModel

import pulse_sdk
from pulse_sdk._areas import Kind
from pulse_sdk._call import Call
from pulse_sdk._client import BaseClient, LogIn
from pulse_sdk._connection import Connection, checked
from pulse_sdk._flow import (
    FetchToken,
    Flow,
    OpenSocket,
    RefreshTokens,
    Send,
    Sleep,
    Step,
    TellTokens,
    secret,
)
from pulse_sdk.auth import AsyncOnTokens, AsyncTokenSource, Credentials, OnTokens, TokenSource
from pulse_sdk.breaker import Breaker
from pulse_sdk.contract.common import Page
from pulse_sdk.errors import InvalidInput
from pulse_sdk.hooks import Hooks
from pulse_sdk.options import Options, Retries
from pulse_sdk.paging import AsyncListing, Listing
from pulse_sdk.raw import AsyncRawPulse, RawPulse

if TYPE_CHECKING:
    import pulse_sdk.realtime

T = TypeVar("T")
PageT = TypeVar("PageT", bound="Page[Any]")
FrameT = TypeVar("FrameT", bound=BaseModel)


class _Shared(TypedDict, total=False):
    timeout: float | httpx.Timeout | None
    deadline: float | None
    retries: Retries | int | None
    headers: Mapping[str, str] | None
    breaker: Breaker | None
    hooks: Hooks | None


class PulseOptions(_Shared, total=False):
    """What `Pulse.login` passes on to `Pulse`."""

    http_client: httpx.Client | None
    on_tokens: OnTokens | None


class AsyncPulseOptions(_Shared, total=False):
    """What `AsyncPulse.login` passes on to `AsyncPulse`."""

    http_client: httpx.AsyncClient | None
    on_tokens: AsyncOnTokens | None


class Pulse(BaseClient):
    """A blocking client; one may be shared by several threads.

        with Pulse.login("http://127.0.0.1:8000", "ada", password) as client:
            client.posts.create("Hello")

    Args:
        base_url: The gateway's address, without `/api/v1`.
        token: An access token, the `tokens` of an earlier log-in, or a `TokenSource`.
        timeout: Seconds to connect, and between two pieces of an answer; `math.inf` for none. 10,
            or what `http_client` has, when left out.
        deadline: Seconds for a call with all its attempts and waits; none when left out. A server
            that lets its answer drip can overrun it only if `http_client` is given.
        retries: When and how often a call is repeated, or just how often.
        headers: Go along with each request.
        breaker: Stops calling a server that fails too often; none when left out.
        hooks: Functions that are told of each request, response and retry.
        on_tokens: Told each new pair of tokens before any call uses it, and None after a log-out,
            to store them. What it raises ends the call; the client has the tokens nevertheless.
        http_client: Sends the requests in place of a client of our own, and is never closed.

    Raises:
        InvalidInput: A value that cannot be used.
    """

    _kind = Kind({"send": (None, False), "list": (Listing, False)})

    def __init__(
        self,
        base_url: str,
        *,
        token: str | pulse_sdk.Tokens | TokenSource | None = None,
        timeout: float | httpx.Timeout | None = None,
        deadline: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
        breaker: Breaker | None = None,
        hooks: Hooks | None = None,
        on_tokens: OnTokens | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        if timeout is None and http_client is not None:
            timeout = http_client.timeout
        options = Options(breaker=breaker, hooks=hooks or Hooks()).changed(
            timeout=timeout, deadline=deadline, retries=retries, headers=headers
        )
        flow = Flow(checked(base_url), Credentials(token), options, on_tokens)
        if inspect.iscoroutinefunction(getattr(token, "token", on_tokens)):
            raise InvalidInput.of("token", "an asynchronous source or store is for AsyncPulse")
        super().__init__(flow)
        self._connection = Connection(http_client)

    @classmethod
    def login(
        cls, base_url: str, login: str, password: str, **options: Unpack[PulseOptions]
    ) -> Self:
        """A client that acts as the account with this email or username.

        The password is not kept; see `on_tokens` and `tokens` for how to stay logged in.

        Raises:
            InvalidInput: A value that cannot be used.
            NotAuthenticated: There is no such account with this password.
            PulseError: What else a call raises.
        """
        client = cls(base_url, **options)
        try:
            client.auth.login(login, password)
        except BaseException:
            client.close()
            raise
        finally:
            del password  # A traceback may show what its frames hold.
        return client

    @cached_property
    def raw(self) -> RawPulse:
        """The same areas; their methods return an `Answer`: status, headers, attempts and value."""
        return RawPulse(self)

    def send(self, call: Call[T]) -> T:
        """Send a call and return its answer; raises as `Flow.run` does."""
        return self.drive(self.flow.run(call)).value

    def list(self, call: Call[PageT]) -> Listing[PageT]:
        """The list that starts with this call."""
        return Listing(self.send, call)

    def listen(
        self, kinds: tuple[type[FrameT], ...], after: int | None, heartbeat: float
    ) -> pulse_sdk.realtime.Frames[FrameT]:
        """Frames of some kinds from the WebSocket."""
        from pulse_sdk.realtime import Frames

        frames = Frames(self, kinds, after, heartbeat)
        self._listening.add(frames)
        return frames

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
                return self._connection.send(step)
            case Sleep():
                return time.sleep(step.seconds)
            case RefreshTokens():
                # By this thread, within its own deadline; one of tasks serves all who wait for it.
                return self._connection.renew(
                    lambda: self.drive(self._renewals.refresh(step.stale, step.until)), step.until
                )
            case FetchToken():
                return step.source.token(secret(step.refused))
            case TellTokens():
                return step.on_tokens(step.tokens)
            case OpenSocket():
                from pulse_sdk.realtime._sockets import open_socket

                return open_socket(step)

    def close(self) -> None:
        """End what listens, and close the connections unless `http_client` was given."""
        if not self._is_view:
            for frames in list(self._listening):
                frames.close()
            self._connection.close()

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

        async with AsyncPulse.login("http://127.0.0.1:8000", "ada", password) as client:
            await client.posts.create("Hello")

    Args:
        base_url: The gateway's address, without `/api/v1`.
        token: An access token, the `tokens` of an earlier log-in, or a `TokenSource`, which may be
            asynchronous; another one is asked in a thread.
        timeout: Seconds to connect, and between two pieces of an answer; `math.inf` for none. 10,
            or what `http_client` has, when left out.
        deadline: Seconds for a call with all its attempts and waits; none when left out.
        retries: When and how often a call is repeated, or just how often.
        headers: Go along with each request.
        breaker: Stops calling a server that fails too often; none when left out.
        hooks: Functions that are told of each request, response and retry.
        on_tokens: Told each new pair of tokens before any call uses it, and None after a log-out,
            to store them; awaited when it is asynchronous. What it raises ends the call; the client
            has the tokens nevertheless.
        http_client: Sends the requests in place of a client of our own, and is never closed.

    Raises:
        InvalidInput: A value that cannot be used.
    """

    _kind = Kind({"send": (None, True), "list": (AsyncListing, False)})

    def __init__(
        self,
        base_url: str,
        *,
        token: str | pulse_sdk.Tokens | TokenSource | AsyncTokenSource | None = None,
        timeout: float | httpx.Timeout | None = None,
        deadline: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
        breaker: Breaker | None = None,
        hooks: Hooks | None = None,
        on_tokens: AsyncOnTokens | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        if timeout is None and http_client is not None:
            timeout = http_client.timeout
        options = Options(breaker=breaker, hooks=hooks or Hooks()).changed(
            timeout=timeout, deadline=deadline, retries=retries, headers=headers
        )
        flow = Flow(checked(base_url), Credentials(token), options, on_tokens)
        super().__init__(flow)
        from pulse_sdk._async_connection import AsyncConnection

        self._connection = AsyncConnection(http_client)

    @classmethod
    def login(
        cls, base_url: str, login: str, password: str, **options: Unpack[AsyncPulseOptions]
    ) -> LogIn[Self]:
        """A client that acts as the account with this email or username.

        To be awaited, or used with `async with`, which also closes the client. The password is not
        kept; see `on_tokens` and `tokens` for how to stay logged in.

        Raises:
            InvalidInput: A value that cannot be used.
            NotAuthenticated: There is no such account with this password.
            PulseError: What else a call raises.
        """
        client = cls(base_url, **options)
        return LogIn(client, client.auth.login(login, password))

    @cached_property
    def raw(self) -> AsyncRawPulse:
        """The same areas; their methods return an `Answer`: status, headers, attempts and value."""
        return AsyncRawPulse(self)

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its answer; raises as `Flow.run` does."""
        return (await self.drive(self.flow.run(call))).value

    def list(self, call: Call[PageT]) -> AsyncListing[PageT]:
        """The list that starts with this call."""
        return AsyncListing(self.send, call)

    def listen(
        self, kinds: tuple[type[FrameT], ...], after: int | None, heartbeat: float
    ) -> pulse_sdk.realtime.AsyncFrames[FrameT]:
        """Frames of some kinds from the WebSocket."""
        from pulse_sdk.realtime import AsyncFrames

        frames = AsyncFrames(self, kinds, after, heartbeat)
        self._listening.add(frames)
        return frames

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
                return await self._connection.send(step)
            case Sleep():
                return await self._connection.sleep(step)
            case RefreshTokens():
                return await self._connection.renew(
                    lambda: self.drive(self._renewals.refresh(step.stale)), step.until
                )
            case FetchToken():
                return await self._connection.fetch(step)
            case TellTokens():
                told = step.on_tokens(step.tokens)
                return await told if inspect.isawaitable(told) else told
            case OpenSocket():
                from pulse_sdk.realtime._sockets import open_async_socket

                return await open_async_socket(step)

    async def aclose(self) -> None:
        """End what listens, and close the connections unless `http_client` was given."""
        if not self._is_view:
            for frames in list(self._listening):
                await frames.aclose()
            await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
