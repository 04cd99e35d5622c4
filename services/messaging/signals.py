"""What clients say on their sockets: at present that somebody is writing."""

from __future__ import annotations

import time

from aiohttp import WSMessage, WSMsgType
from pydantic import BaseModel, ValidationError

from pulse_sdk.contract.common import field_errors
from pulse_sdk.contract.messaging import (
    ErrorFrame,
    SocketError,
    Typing,
    TypingFrame,
    TypingSignal,
)
from services.kit.auth import Identity
from services.kit.errors import ServiceError
from services.messaging.live import Live, Outlet
from services.messaging.presence import PresenceBoard
from services.messaging.store import ConversationStore

FRAMES_PER_SECOND = 10
"""How many frames a client may send in a second, and twice as many at once."""


class _AnyFrame(BaseModel):
    type: str


class Signals:
    """Acts on the frames of clients; what cannot be done is answered by an error frame."""

    def __init__(self, store: ConversationStore, live: Live, presence: PresenceBoard) -> None:
        self._store = store
        self._live = live
        self._presence = presence

    async def heard(self, caller: Identity, frame: WSMessage, outlet: Outlet) -> None:
        """Act on one frame."""
        try:
            await self._act(caller, _parsed(frame))
        except ServiceError as error:
            outlet.say(error_frame(error.code, error.detail))

    async def _act(self, caller: Identity, signal: TypingSignal) -> None:
        conversation_id = signal.data.conversation_id
        audience = await self._store.audience(caller.user_id, conversation_id)
        if not audience:
            if not await self._store.is_member(caller.user_id, conversation_id):
                raise ServiceError.not_found("conversation")
            return
        if await self._presence.may_tell_typing(caller.user_id, conversation_id):
            who = Typing(conversation_id=conversation_id, user_id=caller.user_id)
            await self._live.tell(audience, TypingFrame(data=who).model_dump_json().encode())


class Budget:
    """How many more frames one socket may send now."""

    def __init__(self) -> None:
        self._left = float(2 * FRAMES_PER_SECOND)
        self._at = time.monotonic()
        self._warned = False

    def spend(self, outlet: Outlet) -> bool:
        """Whether a frame may be acted on; the first of several that may not is answered."""
        now = time.monotonic()
        earned = (now - self._at) * FRAMES_PER_SECOND
        self._left = min(2 * FRAMES_PER_SECOND, self._left + earned)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            self._warned = False
            return True
        if not self._warned:
            self._warned = True
            detail = f"Send at most {FRAMES_PER_SECOND} frames a second; more have no effect."
            outlet.say(error_frame("rate_limited", detail))
        return False


def error_frame(code: str, detail: str) -> bytes:
    """The frame that tells a client why one of its own had no effect."""
    return ErrorFrame(data=SocketError(code=code, detail=detail)).model_dump_json().encode()


def _parsed(frame: WSMessage) -> TypingSignal:
    """The signal in a frame.

    Raises:
        ServiceError: `invalid_frame` or `unknown_frame`.
    """
    if frame.type is not WSMsgType.TEXT:
        raise _refused("invalid_frame", "Frames are JSON text.")
    try:
        kind = _AnyFrame.model_validate_json(frame.data).type
        if kind != "typing":
            raise _refused("unknown_frame", "There is no frame of this type.")
        return TypingSignal.model_validate_json(frame.data)
    except ValidationError as error:
        raise _refused("invalid_frame", ServiceError.invalid(field_errors(error)).detail) from None


def _refused(code: str, detail: str) -> ServiceError:
    return ServiceError.conflict(code, detail)
