"""Rules of conversations and messages."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page, PageQuery
from pulse_sdk.contract.messaging import (
    Conversation,
    Message,
    MessageFrame,
    OpenConversation,
    SendMessage,
)
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import id_cursor, page_of
from services.messaging.live import Live
from services.messaging.store import MessagingStore


class MessagingService:
    """Conversations and what is said in them."""

    def __init__(self, store: MessagingStore, conversations: Cache, live: Live) -> None:
        self._store = store
        self._conversations = conversations
        self._live = live

    async def open(self, caller: Identity, wanted: OpenConversation) -> Conversation:
        """Open a conversation between the caller and others.

        Raises:
            ServiceError: 422, nobody else is in it.
        """
        members = {caller.user_id, *wanted.member_ids}
        if len(members) == 1:
            message = "must name somebody other than yourself"
            raise ServiceError.invalid([FieldError(field="member_ids", message=message)])
        return await self._store.open(sorted(members))

    async def conversations(self, caller: Identity, page: PageQuery) -> Page[Conversation]:
        """The caller's conversations, newest first."""
        found = await self._store.conversations(
            caller.user_id, id_cursor(page.cursor), page.limit + 1
        )
        return page_of(found, page.limit, lambda item: str(item.id))

    async def send(
        self, caller: Identity, conversation_id: UUID, message: SendMessage, key: str | None
    ) -> Message:
        """Say something in a conversation; the same `key` says it once.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member; 409
                `idempotency_key_reused`, the key was used for something else.
        """
        conversation = await self._joined(caller, conversation_id)
        sent, new = await self._store.send(conversation, caller.user_id, message.text, key)
        if new:
            recipients = [m for m in conversation.member_ids if m != caller.user_id]
            frame = MessageFrame(data=sent)
            await self._live.publish(recipients, frame.model_dump_json().encode())
        elif (sent.conversation_id, sent.text) != (conversation_id, message.text):
            raise ServiceError.conflict(
                "idempotency_key_reused", "This Idempotency-Key was used for another message."
            )
        return sent

    async def messages(
        self, caller: Identity, conversation_id: UUID, page: PageQuery
    ) -> Page[Message]:
        """What was said in a conversation, newest first.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member.
        """
        before = id_cursor(page.cursor)
        await self._joined(caller, conversation_id)
        found = await self._store.messages(conversation_id, before, page.limit + 1)
        return page_of(found, page.limit, lambda item: str(item.id))

    async def _joined(self, caller: Identity, conversation_id: UUID) -> Conversation:
        async def load() -> Conversation:
            return await self._store.conversation(conversation_id)

        conversation = await self._conversations.get_or_load(conversation_id, Conversation, load)
        if caller.user_id not in conversation.member_ids:
            raise ServiceError.not_found("conversation")
        return conversation
