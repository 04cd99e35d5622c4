"""Conversations, messages and what a WebSocket carries."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import RequestModel, ResponseModel, Text, Timestamp
from pulse_sdk.contract.notifications import NotificationFrame

MAX_MEMBERS = 50
"""Most people in one conversation."""

SUBPROTOCOL = "pulse.v1"
"""What the frames of the WebSocket are called in `Sec-WebSocket-Protocol`.

A browser, which can set no header, offers it together with its access token:
`Sec-WebSocket-Protocol: pulse.v1, bearer.<token>`.
"""

Title = Annotated[Text, Field(min_length=1, max_length=100)]
"""What a group is called, 1 to 100 characters."""

Position = Annotated[int, Field(ge=0, lt=2**63)]
"""How far one person's messages were delivered: each gets the next number, from 1 on."""


class OpenConversation(RequestModel):
    """The other members. One and no title is the conversation of two, else a new group.

    The same `Idempotency-Key` opens one group.
    """

    member_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_MEMBERS - 1)]
    title: Title | None = None


class RenameConversation(RequestModel):
    """A group's new title."""

    title: Title


class Conversation(ResponseModel):
    """A conversation and everyone in it, the caller included."""

    id: UUID
    kind: Literal["direct", "group"] | str
    """Two people have one `direct` conversation, whose members never change."""
    title: str | None
    owner_id: UUID | None
    """Who may remove others from a group: who opened it or, once they left, its oldest member."""
    member_ids: list[UUID]
    created_at: Timestamp
    unread: int
    """Messages of others since the caller joined that are not marked as read."""


class SendMessage(RequestModel):
    """A new message, 1 to 4,000 characters."""

    text: Annotated[Text, Field(min_length=1, max_length=4000)]


class Message(ResponseModel):
    """A message in a conversation."""

    id: UUID
    conversation_id: UUID
    sender_id: UUID
    text: str
    created_at: Timestamp


class MarkRead(RequestModel):
    """The last message that was read: it and all delivered before it count as read."""

    message_id: UUID


class UnreadMessages(ResponseModel):
    """How many messages are unread."""

    unread: int


class Presence(ResponseModel):
    """Which other members of a conversation are connected."""

    online: list[UUID]


class SocketQuery(RequestModel):
    """How a WebSocket begins."""

    after: Position | None = None
    """Deliver what came after this position first; left out, only what comes from now on."""


class ReadyFrame(ResponseModel):
    """The first frame of a WebSocket: what was sent after `position` follows."""

    type: Literal["ready"] = "ready"
    position: Position


class MessageFrame(ResponseModel):
    """A WebSocket frame that delivers a message."""

    type: Literal["message"] = "message"
    position: Position
    """To continue after this message on the next connection."""
    data: Message


class Typing(ResponseModel):
    """Who is writing, and where."""

    conversation_id: UUID
    user_id: UUID


class TypingFrame(ResponseModel):
    """Somebody wrote within the last few seconds; there is none for the end of it."""

    type: Literal["typing"] = "typing"
    data: Typing


class PresenceChange(ResponseModel):
    """Who came or went."""

    user_id: UUID
    online: bool


class PresenceFrame(ResponseModel):
    """Somebody who shares a conversation with the caller connected, or ended all connections."""

    type: Literal["presence"] = "presence"
    data: PresenceChange


class SocketError(ResponseModel):
    """Why a frame of the caller had no effect."""

    code: str
    """`invalid_frame`, `unknown_frame`, `rate_limited`, or a problem's code."""
    detail: str


class ErrorFrame(ResponseModel):
    """A frame of the caller had no effect; the connection goes on."""

    type: Literal["error"] = "error"
    data: SocketError


Frame = Annotated[
    ReadyFrame | MessageFrame | TypingFrame | PresenceFrame | ErrorFrame | NotificationFrame,
    Field(discriminator="type"),
]
"""Any frame that the service sends, told apart by its `type`; clients pass over other types."""


class TypingIn(RequestModel):
    """Where the caller is writing."""

    conversation_id: UUID


class TypingSignal(RequestModel):
    """The frame of a client whose user is writing; worth repeating every few seconds."""

    type: Literal["typing"] = "typing"
    data: TypingIn
