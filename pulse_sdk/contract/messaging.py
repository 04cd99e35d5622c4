"""Conversations, messages and what a WebSocket carries."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import RequestModel, ResponseModel, Text, Timestamp


class OpenConversation(RequestModel):
    """The other members. With exactly one, the existing conversation of the two is found again."""

    member_ids: Annotated[list[UUID], Field(min_length=1, max_length=49)]


class Conversation(ResponseModel):
    """A conversation and everyone in it, the caller included."""

    id: UUID
    member_ids: list[UUID]
    created_at: Timestamp


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


class MessageFrame(ResponseModel):
    """A WebSocket frame that delivers a message."""

    type: Literal["message"] = "message"
    data: Message
