"""Messages as they are sent, over a WebSocket.

    async with client.realtime.messages() as frames:    # connected from here on
        async for frame in frames:
            print(frame.data.text)

and with `Pulse` the same without `async`. A connection that breaks is opened again, with backoff,
until the iterator is closed, and what was sent meanwhile comes first: no message is left out and
none comes twice. Each frame has a `position`; `messages(after=position)` continues there, also
in another process.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pydantic import BaseModel, TypeAdapter, ValidationError
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from pulse_sdk._call import Id
from pulse_sdk._flow import Flow, OpenSocket, RefreshTokens, Sleep, Step, bearer, log
from pulse_sdk.contract.common import ResponseModel
from pulse_sdk.contract.messaging import (
    ErrorFrame,
    Frame,
    MessageFrame,
    PresenceFrame,
    ReadyFrame,
    TypingFrame,
    TypingSignal,
)
from pulse_sdk.contract.notifications import NotificationFrame
from pulse_sdk.errors import (
    ConnectionFailed,
    InvalidInput,
    NotAuthenticated,
    PulseError,
    answer_error,
    unreadable,
)
from pulse_sdk.resources._base import ClientT_co, Resource

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from websockets.asyncio.client import ClientConnection as AsyncSocket
    from websockets.sync.client import ClientConnection as Socket

    from pulse_sdk.client import AsyncPulse, Pulse

LiveFrame = MessageFrame | TypingFrame | PresenceFrame | ErrorFrame | NotificationFrame
"""What the service tells of; `ErrorFrame` answers a signal of the caller that had no effect."""

FrameT = TypeVar("FrameT", bound=BaseModel)

_READY_SECONDS = 10.0
_MESSAGES = (MessageFrame,)
_EVERYTHING = (MessageFrame, TypingFrame, PresenceFrame, ErrorFrame, NotificationFrame)

_wire_log = logging.getLogger("pulse_sdk.websocket")
_wire_log.addFilter(lambda record: "Authorization" not in (record.args or ()))


class Realtime(Resource[ClientT_co]):
    """Messages as they are sent."""

    @overload
    def messages(self: Realtime[Pulse], *, after: int | None = None) -> Frames[MessageFrame]: ...
    @overload
    def messages(
        self: Realtime[AsyncPulse], *, after: int | None = None
    ) -> AsyncFrames[MessageFrame]: ...
    def messages(self, *, after: int | None = None) -> Any:
        """Every message that others send to the caller, from now on or after a position."""
        client: Any = self._client
        return client.listen(_MESSAGES, after)

    @overload
    def frames(self: Realtime[Pulse], *, after: int | None = None) -> Frames[LiveFrame]: ...
    @overload
    def frames(
        self: Realtime[AsyncPulse], *, after: int | None = None
    ) -> AsyncFrames[LiveFrame]: ...
    def frames(self, *, after: int | None = None) -> Any:
        """The same messages; while connected also notifications, and who writes, comes and goes."""
        client: Any = self._client
        return client.listen(_EVERYTHING, after)


class Frames(Generic[FrameT]):
    """An iterator of frames, to be used in a `with` block or closed with `close()`.

    Iterating raises:
        ConnectionFailed: The first connection could not be made; later ones are tried for ever.
        AnswerError: The server refused the connection, such as for an expired session.
    """

    def __init__(self, client: Pulse, kinds: tuple[type[FrameT], ...], after: int | None) -> None:
        self._client = client
        self._kinds = kinds
        self._line = _Line(client.flow, after)
        self._socket: Socket | None = None

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FrameT:
        while not self._line.closed:
            if self._socket is None:
                self._connect()
                continue
            try:
                data = self._socket.recv()
            except ConnectionClosed as end:
                self._socket = None
                self._line.lost(end)
                continue
            if isinstance(frame := self._line.heard(data), self._kinds):
                return frame
        raise StopIteration

    def typing(self, conversation_id: Id) -> None:
        """Tell a conversation that the caller is writing; worth repeating every few seconds.

        Without effect while the connection is being made again.
        """
        if self._socket is not None:
            with suppress(ConnectionClosed):
                self._socket.send(_typing(conversation_id))

    def close(self) -> None:
        """Say goodbye to the server and end the iteration, also one in another thread."""
        self._line.closed = True
        if self._socket is not None:
            self._socket.close()

    def _connect(self) -> None:
        self._socket = self._client.drive(self._line.connect())
        if self._line.closed:
            self.close()


class AsyncFrames(Generic[FrameT]):
    """An iterator of frames, to be used in an `async with` block or closed with `aclose()`.

    Iterating raises:
        ConnectionFailed: The first connection could not be made; later ones are tried for ever.
        AnswerError: The server refused the connection, such as for an expired session.
    """

    def __init__(
        self, client: AsyncPulse, kinds: tuple[type[FrameT], ...], after: int | None
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._line = _Line(client.flow, after)
        self._socket: AsyncSocket | None = None

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FrameT:
        while not self._line.closed:
            if self._socket is None:
                await self._connect()
                continue
            try:
                data = await self._socket.recv()
            except ConnectionClosed as end:
                self._socket = None
                self._line.lost(end)
                continue
            if isinstance(frame := self._line.heard(data), self._kinds):
                return frame
        raise StopAsyncIteration

    async def typing(self, conversation_id: Id) -> None:
        """Tell a conversation that the caller is writing; worth repeating every few seconds.

        Without effect while the connection is being made again.
        """
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(_typing(conversation_id))

    async def aclose(self) -> None:
        """Say goodbye to the server and end the iteration, also one in another task."""
        self._line.closed = True
        if self._socket is not None:
            await self._socket.close()

    async def _connect(self) -> None:
        self._socket = await self._client.drive(self._line.connect())
        if self._line.closed:
            await self.aclose()


class _Line:
    """When to connect again and where to continue, written once for both iterators."""

    def __init__(self, flow: Flow, after: int | None) -> None:
        self.closed = False
        self._after = after
        self._flow = flow
        self._retries = flow.retries
        self._failures = 0
        self._opened_at = 0.0

    def connect(self) -> Generator[Step, Any, Any]:
        """Open a socket, trying again where that helps; None when closed meanwhile."""
        credentials = self._flow.credentials
        wait = self._retries.backoff.delay(self._failures) if self._failures else 0.0
        refreshed = False
        attempts = 0
        while True:
            yield Sleep(wait)
            if self.closed:
                return None
            token = credentials.access_token
            attempts += 1
            failure: PulseError
            cause: Exception
            try:
                socket, ready = yield OpenSocket(self._url, bearer(token))
            except InvalidStatus as refusal:
                answer = refusal.response
                failure = answer_error(
                    answer.status_code, answer.headers, bytes(answer.body or b""), attempts
                )
                cause = refusal
            except (OSError, WebSocketException) as error:
                reason = f"no connection to {self._flow.websocket_url}: {error}"
                failure, cause = ConnectionFailed(reason, attempts), error
            else:
                self._after = ready
                self._opened_at = time.monotonic()
                # Only the first connection is given up: who has listened once wants to go on.
                self._retries = replace(self._retries, limit=sys.maxsize)
                return socket
            if (
                isinstance(failure, NotAuthenticated)
                and not refreshed
                and token is not None
                and credentials.can_replace(token)
            ):
                try:
                    refreshed = yield RefreshTokens(token)
                except PulseError as error:
                    failure = error
                if refreshed:
                    wait = 0.0
                    continue
            self._failures += 1
            delay = self._retries.wait(failure, self._failures)
            if delay is None:
                raise failure from cause
            log.info("%s; next attempt in %.2f s", failure, delay)
            wait = delay

    @property
    def _url(self) -> str:
        url = self._flow.websocket_url
        return url if self._after is None else f"{url}?after={self._after}"

    def heard(self, data: str | bytes) -> BaseModel | None:
        """The frame; None when there was one like it, or only newer clients know its kind.

        Raises:
            UnreadableAnswer: It is no frame.
        """
        frame = _frame(data)
        if isinstance(frame, MessageFrame):
            if self._after is not None and frame.position <= self._after:
                return None
            self._after = frame.position
        return frame

    def lost(self, end: ConnectionClosed) -> None:
        """Note that the connection broke; one that broke at once makes the next wait longer."""
        if self.closed:
            return
        lasted = time.monotonic() - self._opened_at
        self._failures = self._failures + 1 if lasted < self._retries.backoff.most else 1
        log.info("connection to %s lost: %s", self._flow.websocket_url, end)


def open_socket(step: OpenSocket) -> tuple[Socket, int]:
    """Carry the step out, blocking: the socket, and the position at which it begins."""
    from websockets.sync.client import connect

    # `with` is the one form in which every supported release returns the connection itself.
    socket = connect(step.url, additional_headers=step.headers, logger=_wire_log).__enter__()
    try:
        return socket, _ready(socket.recv(timeout=_READY_SECONDS))
    except BaseException:
        socket.close()
        raise


async def open_async_socket(step: OpenSocket) -> tuple[AsyncSocket, int]:
    """Carry the step out: the socket, and the position at which it begins."""
    from websockets.asyncio.client import connect

    socket = await connect(step.url, additional_headers=step.headers, logger=_wire_log)
    try:
        async with asyncio.timeout(_READY_SECONDS):
            return socket, _ready(await socket.recv())
    except BaseException:
        await socket.close()
        raise


class _AnyFrame(ResponseModel):
    type: str


_frames: TypeAdapter[Frame] = TypeAdapter(Frame)
_KINDS = frozenset({"ready", "message", "typing", "presence", "error", "notification"})


def _frame(data: str | bytes) -> BaseModel | None:
    """The frame, or None when it is of a kind that only newer clients know."""
    try:
        if _AnyFrame.model_validate_json(data).type not in _KINDS:
            return None
        return _frames.validate_json(data)
    except ValidationError as error:
        raise unreadable(101, {}, error, 1) from None


def _ready(data: str | bytes) -> int:
    """The position in the first frame."""
    try:
        return ReadyFrame.model_validate_json(data).position
    except ValidationError as error:
        raise unreadable(101, {}, error, 1) from None


def _typing(conversation_id: Id) -> str:
    try:
        signal = TypingSignal.model_validate({"data": {"conversation_id": conversation_id}})
    except ValidationError as error:
        raise InvalidInput.from_validation(error) from None
    return signal.model_dump_json()
