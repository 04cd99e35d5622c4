"""HTTP endpoints of the messaging service; its WebSocket is in `sockets`."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.messaging import Conversation, Message, OpenConversation, SendMessage
from services.kit.http import Call, endpoint
from services.messaging.service import MessagingService

SERVICE = web.AppKey("service", MessagingService)


async def open_conversation(call: Call[OpenConversation, None]) -> Conversation:
    """Open a conversation; the one that two people have is found again."""
    return await call.app[SERVICE].open(call.user, call.body)


async def conversations(call: Call[None, PageQuery]) -> Page[Conversation]:
    """The caller's conversations, newest first."""
    return await call.app[SERVICE].conversations(call.user, call.query)


async def send(call: Call[SendMessage, None]) -> Message:
    """Say something in a conversation."""
    return await call.app[SERVICE].send(
        call.user, call.id("conversation_id"), call.body, call.idempotency_key
    )


async def messages(call: Call[None, PageQuery]) -> Page[Message]:
    """What was said in a conversation, newest first."""
    return await call.app[SERVICE].messages(call.user, call.id("conversation_id"), call.query)


_CONVERSATIONS = "/api/v1/conversations"
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
    endpoint("POST", _MESSAGES, send, body=SendMessage, returns=Message, status=201),
    endpoint("GET", _MESSAGES, messages, query=PageQuery, returns=Page[Message]),
)
