"""Conversations and their messages."""

from __future__ import annotations

from collections.abc import Sequence

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.messaging import Conversation, Message, OpenConversation, SendMessage
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Conversations(Resource[ClientT_co]):
    """Conversations and their messages; `realtime` receives them as they are sent."""

    @endpoint
    def open(self, member_ids: Sequence[Id]) -> Call[Conversation]:
        """Open a conversation with others; the one that two people have is found again."""
        body = OpenConversation(member_ids=[*member_ids])
        return Call("POST", ("conversations",), Conversation, body=body)

    @listing
    def list(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Conversation]]:
        """The caller's conversations."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("conversations",), Page[Conversation], query_of(query))

    @endpoint
    def send(
        self, conversation_id: Id, text: str, *, idempotency_key: str | None = None
    ) -> Call[Message]:
        """Send 1 to 4,000 characters. The same `idempotency_key` never sends a second message."""
        return Call(
            "POST",
            ("conversations", conversation_id, "messages"),
            Message,
            body=SendMessage(text=text),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def messages(
        self, conversation_id: Id, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Message]]:
        """The messages of a conversation, newest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call(
            "GET", ("conversations", conversation_id, "messages"), Page[Message], query_of(query)
        )
