"""The two iterators of frames, over blocking and over asynchronous sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed

import pulse_sdk
from pulse_sdk._call import Id
from pulse_sdk.realtime._line import Line
from pulse_sdk.realtime._wire import typing_signal

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection as AsyncSocket
    from websockets.sync.client import ClientConnection as Socket

FrameT = TypeVar("FrameT", bound=BaseModel)


class Frames(Generic[FrameT]):
    """Frames as they come, to be iterated over once, by one thread.

    Iterating raises:
        ConnectionFailed: The first connection could not be made; later ones are tried for ever.
        AnswerError: The server refused the connection, such as for a session that has ended.
    """

    def __init__(
        self,
        client: pulse_sdk.Pulse,
        kinds: tuple[type[FrameT], ...],
        after: int | None,
        heartbeat: float,
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._line = Line(client.flow, after, heartbeat)
        self._socket: Socket | None = None
        self._closing = threading.Event()
        self._in_block = False

    @property
    def position(self) -> int | None:
        """That of the last message handed out, at first where the connection began."""
        return self._line.position

    def __enter__(self) -> Self:
        self._in_block = True
        while self._socket is None and not self._line.closed:
            self._connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[FrameT]:
        return self if self._in_block else self._closed_at_the_end()

    def _closed_at_the_end(self) -> Iterator[FrameT]:
        with self:
            yield from self

    def __next__(self) -> FrameT:
        while not self._line.closed:
            if (socket := self._socket) is None:
                self._connect()
                continue
            try:
                data = socket.recv()
            except ConnectionClosed as end:
                self._socket = None
                self._line.lost(end)
                continue
            if isinstance(frame := self._line.heard(data), self._kinds):
                return frame
        raise StopIteration

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}, {self._line}>"

    def typing(self, conversation_id: Id) -> None:
        """Tell a conversation that the caller is writing; worth repeating every few seconds.

        Without effect while the connection is being made again.
        """
        signal = typing_signal(conversation_id)
        if self._socket is not None:
            with suppress(ConnectionClosed):
                self._socket.send(signal)

    def close(self) -> None:
        """Say goodbye to the server and end the iteration, also one in another thread.

        One that is just connecting ends when the attempt does, within a few seconds.
        """
        self._line.closed = True
        self._closing.set()
        if self._socket is not None:
            self._socket.close()

    def _connect(self) -> None:
        """Make one attempt, when it is time for it."""
        if self._closing.wait(self._line.pause):
            return
        self._socket = self._client.drive(self._line.attempt())
        if self._line.closed:
            self.close()


class AsyncFrames(Generic[FrameT]):
    """Frames as they come, to be iterated over once, by one task.

    Iterating raises:
        ConnectionFailed: The first connection could not be made; later ones are tried for ever.
        AnswerError: The server refused the connection, such as for a session that has ended.
    """

    def __init__(
        self,
        client: pulse_sdk.AsyncPulse,
        kinds: tuple[type[FrameT], ...],
        after: int | None,
        heartbeat: float,
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._line = Line(client.flow, after, heartbeat)
        self._socket: AsyncSocket | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._in_block = False

    @property
    def position(self) -> int | None:
        """That of the last message handed out, at first where the connection began."""
        return self._line.position

    async def __aenter__(self) -> Self:
        self._in_block = True
        await self._connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[FrameT]:
        return self if self._in_block else self._closed_at_the_end()

    async def _closed_at_the_end(self) -> AsyncIterator[FrameT]:
        async with self:
            async for frame in self:
                yield frame

    async def __anext__(self) -> FrameT:
        while not self._line.closed:
            if (socket := self._socket) is None:
                await self._connect()
                continue
            try:
                data = await socket.recv()
            except ConnectionClosed as end:
                self._socket = None
                self._line.lost(end)
                continue
            if isinstance(frame := self._line.heard(data), self._kinds):
                return frame
        raise StopAsyncIteration

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}, {self._line}>"

    async def typing(self, conversation_id: Id) -> None:
        """Tell a conversation that the caller is writing; worth repeating every few seconds.

        Without effect while the connection is being made again.
        """
        signal = typing_signal(conversation_id)
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(signal)

    async def aclose(self) -> None:
        """Say goodbye to the server and end the iteration, also one in another task."""
        self._line.closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._socket is not None:
            await self._socket.close()

    async def _connect(self) -> None:
        """Connect, unless closed meanwhile."""
        # A task of its own, so that `aclose` can end it and leave the task that waits alone.
        self._connecting = connecting = asyncio.create_task(self._open())
        try:
            await asyncio.wait([connecting])
        finally:
            connecting.cancel()
        if not connecting.cancelled():
            connecting.result()

    async def _open(self) -> None:
        while self._socket is None and not self._line.closed:
            await asyncio.sleep(self._line.pause)
            self._socket = await self._client.drive(self._line.attempt())
