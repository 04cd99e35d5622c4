"""HTTP endpoints of the messaging service; its WebSocket is in `sockets`."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import Shown, ShowNotifications
from pulse_sdk.contract.messaging import (
    Conversation,
    MarkRead,
    Message,
    OpenConversation,
    Presence,
    RenameConversation,
    SendMessage,
    UnreadMessages,
)
from services.kit.http import Access, Call, endpoint
from services.messaging.service import MessagingService

SERVICE = web.AppKey("service", MessagingService)


async def open_conversation(call: Call[OpenConversation, None]) -> Conversation:
    """Open a conversation; the one that two people have is found again."""
    return await call.app[SERVICE].open(call.user, call.body, call.idempotency_key)


async def conversations(call: Call[None, PageQuery]) -> Page[Conversation]:
    """The caller's conversations, newest first."""
    return await call.app[SERVICE].conversations(call.user, call.query)


async def unread(call: Call[None, None]) -> UnreadMessages:
    """How many messages the caller has not read, in all conversations."""
    return await call.app[SERVICE].unread(call.user)


async def conversation(call: Call[None, None]) -> Conversation:
    """A conversation that the caller is in."""
    return await call.app[SERVICE].conversation(call.user, call.id("conversation_id"))


async def rename(call: Call[RenameConversation, None]) -> Conversation:
    """Give a group a new title."""
    return await call.app[SERVICE].rename(call.user, call.id("conversation_id"), call.body)


async def add_member(call: Call[None, None]) -> None:
    """Add somebody to a group, who then sees all that was said in it."""
    await call.app[SERVICE].add_member(call.user, call.id("conversation_id"), call.id("user_id"))


async def remove_member(call: Call[None, None]) -> None:
    """Leave a group (one's own id), or remove somebody from a group one owns."""
    await call.app[SERVICE].remove_member(call.user, call.id("conversation_id"), call.id("user_id"))


async def send(call: Call[SendMessage, None]) -> Message:
    """Say something in a conversation."""
    return await call.app[SERVICE].send(
        call.user, call.id("conversation_id"), call.body, call.idempotency_key
    )


async def messages(call: Call[None, PageQuery]) -> Page[Message]:
    """What was said in a conversation, newest first."""
    return await call.app[SERVICE].messages(call.user, call.id("conversation_id"), call.query)


async def mark_read(call: Call[MarkRead, None]) -> UnreadMessages:
    """Mark all up to a message as read; how many of the conversation are left unread."""
    return await call.app[SERVICE].mark_read(call.user, call.id("conversation_id"), call.body)


async def presence(call: Call[None, None]) -> Presence:
    """Which other members of a conversation are connected."""
    return await call.app[SERVICE].presence(call.user, call.id("conversation_id"))


async def show(call: Call[ShowNotifications, None]) -> Shown:
    """Show notifications to those who are connected, for the service that makes them."""
    return await call.app[SERVICE].show(call.body)


_CONVERSATIONS = "/api/v1/conversations"
_CONVERSATION = "/api/v1/conversations/{conversation_id}"
_MEMBER = "/api/v1/conversations/{conversation_id}/members/{user_id}"
_MESSAGES = "/api/v1/conversations/{conversation_id}/messages"

ENDPOINTS = (
    endpoint(
        "POST",
        _CONVERSATIONS,
        open_conversation,
        body=OpenConversation,
        returns=Conversation,
        status=201,
    ),
    endpoint("GET", _CONVERSATIONS, conversations, query=PageQuery, returns=Page[Conversation]),
    endpoint("GET", "/api/v1/conversations/unread", unread, returns=UnreadMessages),
    endpoint("GET", _CONVERSATION, conversation, returns=Conversation),
    endpoint("PATCH", _CONVERSATION, rename, body=RenameConversation, returns=Conversation),
    endpoint("PUT", _MEMBER, add_member),
    endpoint("DELETE", _MEMBER, remove_member),
    endpoint("POST", _MESSAGES, send, body=SendMessage, returns=Message, status=201),
    endpoint("GET", _MESSAGES, messages, query=PageQuery, returns=Page[Message]),
    endpoint("PUT", f"{_CONVERSATION}/read", mark_read, body=MarkRead, returns=UnreadMessages),
    endpoint("GET", f"{_CONVERSATION}/presence", presence, returns=Presence),
    endpoint(
        "POST",
        "/internal/notifications",
        show,
        body=ShowNotifications,
        returns=Shown,
        access=Access.SERVICE,
        callers=("notifications",),
    ),
)
