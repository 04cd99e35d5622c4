"""Conversations and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page, PageQuery
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
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Conversations(Resource[ClientT_co]):
    """Conversations and their messages; `realtime` receives them as they are sent."""

    @endpoint
    def open(
        self,
        member_ids: Sequence[Id],
        *,
        title: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Conversation]:
        """Open a conversation with others; the one that two people have is found again.

        Several others, or a title, make a new group; the same `idempotency_key` never a second.
        """
        return Call(
            "POST",
            ("conversations",),
            Conversation,
            body=OpenConversation(member_ids=[*member_ids], title=title),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def list(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Conversation]]:
        """The caller's conversations, newest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("conversations",), Page[Conversation], query_of(query))

    @endpoint
    def get(self, conversation_id: Id) -> Call[Conversation]:
        """A conversation that the caller is in."""
        return Call("GET", ("conversations", conversation_id), Conversation)

    @endpoint
    def rename(self, conversation_id: Id, title: str) -> Call[Conversation]:
        """Give a group a title of 1 to 100 characters."""
        body = RenameConversation(title=title)
        return Call("PATCH", ("conversations", conversation_id), Conversation, body=body)

    @endpoint
    def add_member(self, conversation_id: Id, user_id: Id) -> Call[None]:
        """Add somebody to a group, who then sees all that was said in it."""
        return Call("PUT", ("conversations", conversation_id, "members", user_id), NoneType)

    @endpoint
    def remove_member(self, conversation_id: Id, user_id: Id) -> Call[None]:
        """Leave a group (with one's own id), or remove somebody from a group one owns."""
        return Call("DELETE", ("conversations", conversation_id, "members", user_id), NoneType)

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

    @endpoint
    def mark_read(self, conversation_id: Id, message_id: Id) -> Call[UnreadMessages]:
        """Mark a message and all before it as read; how many of the conversation are left."""
        return Call(
            "PUT",
            ("conversations", conversation_id, "read"),
            UnreadMessages,
            body=MarkRead.model_validate({"message_id": message_id}),
        )

    @endpoint
    def unread(self) -> Call[UnreadMessages]:
        """How many messages are unread, in all conversations."""
        return Call("GET", ("conversations", "unread"), UnreadMessages)

    @endpoint
    def presence(self, conversation_id: Id) -> Call[Presence]:
        """Which other members of a conversation are connected."""
        return Call("GET", ("conversations", conversation_id, "presence"), Presence)
