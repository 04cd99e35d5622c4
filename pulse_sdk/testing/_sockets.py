"""The WebSocket of the fake, as far as `pulse_sdk.realtime` uses one."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from pulse_sdk.contract.messaging import (
    ErrorFrame,
    MessageFrame,
    PresenceChange,
    PresenceFrame,
    SocketError,
    SocketQuery,
    Typing,
    TypingFrame,
    TypingSignal,
)
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing._kit import refused
from pulse_sdk.testing._server import SOCKET, Server, unauthorized
from pulse_sdk.testing._world import Access, World

if TYPE_CHECKING:
    from pulse_sdk._flow import OpenSocket
    from pulse_sdk.testing._changes import Changes

_TOKEN_EXPIRED = 4401
_TYPING = timedelta(seconds=2)


class Line:
    """One connection: what waits to be received, and whether it has ended."""

    def __init__(self, sockets: Sockets, access: Access) -> None:
        self.access = access
        self.waiting: deque[str] = deque()
        self.end: ConnectionClosed | None = None
        self._sockets = sockets

    @property
    def user_id(self) -> UUID:
        """Whose it is."""
        return self.access.user_id

    def put(self, frame: BaseModel | str) -> None:
        """Have a frame received."""
        text = frame if isinstance(frame, str) else frame.model_dump_json()
        self.waiting.append(text)

    def taken(self) -> str:
        """The next frame; what came before the end of a connection is received first."""
        if self.waiting:
            return self.waiting.popleft()
        if self.end is not None:
            raise self.end
        who = self._sockets.world.users[self.user_id].username
        seconds = self._sockets.patience
        raise AssertionError(f"no frame came for {who} within {seconds:g} s, so the test gave up")

    def ready(self) -> bool:
        """Whether `taken` has something to give."""
        return bool(self.waiting) or self.end is not None

    def said(self, text: str) -> None:
        """Take a frame of the client."""
        if self.end is not None:
            raise self.end
        self._sockets.hear(self, text)

    def closed(self) -> None:
        """Take the client's goodbye."""
        self._sockets.close(self, 1000)


class Socket:
    """The connection of a blocking client."""

    def __init__(self, line: Line, changes: Changes, patience: float) -> None:
        self._line = line
        self._changes = changes
        self._patience = patience

    def recv(self) -> str:
        """The next frame."""
        with self._changes.lock:
            self._changes.wait(self._line.ready, self._patience)
            return self._line.taken()

    def send(self, text: str) -> None:
        """Send a frame."""
        self._line.said(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""
        self._line.closed()


class AsyncSocket:
    """The connection of an asynchronous client."""

    def __init__(self, line: Line, changes: Changes, patience: float) -> None:
        self._line = line
        self._changes = changes
        self._patience = patience

    async def recv(self) -> str:
        """The next frame."""
        await self._changes.wait_async(self._line.ready, self._patience)
        return self._line.taken()

    async def send(self, text: str) -> None:
        """Send a frame."""
        self._line.said(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""
        self._line.closed()


class Sockets:
    """Everyone who is connected."""

    def __init__(self, world: World, server: Server, changes: Changes, patience: float) -> None:
        self.world = world
        self.patience = patience
        self._server = server
        self._changes = changes
        self._lines: list[Line] = []
        self._typing: dict[tuple[UUID, UUID], datetime] = {}
        world.tell = self.tell
        world.online = lambda user_id: any(line.user_id == user_id for line in self._lines)

    def open(self, step: OpenSocket) -> tuple[Line, int]:
        """Connect; the line, and the position at which it begins.

        Raises:
            InvalidStatus: The handshake is refused.
            OSError: The connection fails, as scripted.
        """
        request = httpx.Request("GET", step.url, headers=step.headers)
        with self._changes.lock:
            access = self._server.access(request.headers)
            answer = self._handshake(request, access)
            self._server.note(SOCKET, request, request.url.path, access, answer)
            if isinstance(answer, httpx.TransportError):
                raise OSError(str(answer)) from answer
            if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS or access is None:
                headers = Headers(answer.headers.items())
                status, reason = answer.status_code, answer.reason_phrase
                raise InvalidStatus(Response(status, reason, headers, answer.content))
            line, position = self._begin(access, request.url.params.get("after"))
        self._changes.tell()
        return line, position

    def _handshake(
        self, request: httpx.Request, access: Access | None
    ) -> httpx.Response | httpx.TransportError:
        script = self._server.scripted(SOCKET)
        if script is not None:
            return script.outcome
        try:
            SocketQuery.model_validate_strings(dict(request.url.params))
        except ValidationError:
            return refused(Refusal.of_field("after", "is no position"), "")
        return httpx.Response(101) if access else refused(unauthorized(request), "")

    def _begin(self, access: Access, after: str | None) -> tuple[Line, int]:
        inbox = self.world.inboxes[access.user_id]
        position = len(inbox) if after is None else min(int(after), len(inbox))
        comes = not self.world.online(access.user_id)
        line = Line(self, access)
        for number, message in enumerate(inbox[position:], position + 1):
            line.put(MessageFrame(position=number, data=message))
        self._lines.append(line)
        if comes:
            self._show(access.user_id, online=True)
        return line, position

    def tell(self, user_id: UUID, frame: BaseModel | str) -> None:
        """Send somebody a frame on each of their connections."""
        for line in self._lines:
            if line.user_id == user_id:
                line.put(frame)
        self._changes.tell()

    def hear(self, line: Line, text: str) -> None:
        """Act on a client's frame, or answer why it has no effect."""
        with self._changes.lock:
            conversation_id = TypingSignal.model_validate_json(text).data.conversation_id
            talk = self.world.talks.get(conversation_id)
            if talk is None or line.user_id not in talk.members:
                missing = Refusal.not_found("conversation")
                why = SocketError(code=missing.code, detail=missing.detail)
                line.put(ErrorFrame(data=why))
            else:
                others = [user_id for user_id in talk.members if user_id != line.user_id]
                if talk.is_group or not self.world.blocked(line.user_id, others):
                    self._typed(line.user_id, conversation_id, others)
            self._changes.tell()

    def _typed(self, user_id: UUID, conversation_id: UUID, others: list[UUID]) -> None:
        now, last = self.world.now(), self._typing.get((conversation_id, user_id))
        if last is None or now - last >= _TYPING:
            self._typing[conversation_id, user_id] = now
            who = Typing(conversation_id=conversation_id, user_id=user_id)
            for other in others:
                self.tell(other, TypingFrame(data=who))

    def close(self, line: Line, code: int | None) -> None:
        """End a connection: with a code, or by breaking it."""
        with self._changes.lock:
            if line.end is None:
                said = None if code is None else Close(code, "")
                line.end = ConnectionClosedError(said, None)
                self._lines.remove(line)
                if not self.world.online(line.user_id):
                    self._show(line.user_id, online=False)
        self._changes.tell()

    def drop(self, user_id: UUID | None) -> None:
        """Break somebody's connections, or everyone's."""
        for line in list(self._lines):
            if user_id in {None, line.user_id}:
                self.close(line, None)

    def end_expired(self) -> None:
        """End the connections whose access token has ended."""
        now = self.world.now()
        for line in list(self._lines):
            if line.access.expires_at <= now:
                self.close(line, _TOKEN_EXPIRED)

    def _show(self, user_id: UUID, *, online: bool) -> None:
        """Tell those who share a conversation with somebody that they came or went."""
        talks = [talk for talk in self.world.talks.values() if user_id in talk.members]
        contacts = {other for talk in talks for other in talk.members} - {user_id}
        frame = PresenceFrame(data=PresenceChange(user_id=user_id, online=online))
        for other in contacts:
            if not self.world.blocked(user_id, [other]):
                self.tell(other, frame)
