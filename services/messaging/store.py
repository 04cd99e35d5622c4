"""Conversations and messages in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.domain import MessageSent, MessageSentEvent
from pulse_sdk.contract.messaging import Conversation, Message
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_INSERT_CONVERSATION = Query(
    "conversation_insert",
    """WITH opened AS (
        INSERT INTO conversations (id, member_ids)
        VALUES (%(id)s, %(member_ids)s)
        ON CONFLICT (member_ids) WHERE cardinality(member_ids) = 2 DO NOTHING
        RETURNING id, member_ids, created_at
    ), joined AS (
        INSERT INTO memberships (user_id, conversation_id) SELECT unnest(member_ids), id FROM opened
    )
    SELECT id, member_ids, created_at FROM opened""",
)
_CONVERSATION_OF_TWO = Query(
    "conversation_of_two",
    """SELECT id, member_ids, created_at FROM conversations
    WHERE member_ids = %(member_ids)s AND cardinality(member_ids) = 2""",
)
_CONVERSATION = Query(
    "conversation_by_id", "SELECT id, member_ids, created_at FROM conversations WHERE id = %(id)s"
)
_CONVERSATIONS = Query(
    "conversations_of_user",
    """SELECT c.id, c.member_ids, c.created_at
    FROM memberships m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.user_id = %(user_id)s
        AND (%(before)s::uuid IS NULL OR m.conversation_id < %(before)s)
    ORDER BY m.conversation_id DESC LIMIT %(limit)s""",
)

_COLUMNS = "id, conversation_id, sender_id, text, created_at"
_INSERT_MESSAGE = Query(
    "message_insert",
    f"""WITH sent AS (
        INSERT INTO messages (id, conversation_id, sender_id, text, idempotency_key)
        VALUES (%(id)s, %(conversation_id)s, %(sender_id)s, %(text)s, %(key)s)
        ON CONFLICT (sender_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING {_COLUMNS}
    ), event AS ({outbox.INSERT} FROM sent)
    SELECT {_COLUMNS} FROM sent""",
)
_MESSAGE_BY_KEY = Query(
    "message_by_key",
    f"""SELECT {_COLUMNS} FROM messages
    WHERE sender_id = %(sender_id)s AND idempotency_key = %(key)s""",
)
_MESSAGES = Query(
    "messages_of_conversation",
    f"""SELECT {_COLUMNS} FROM messages
    WHERE conversation_id = %(conversation_id)s
        AND (%(before)s::uuid IS NULL OR id < %(before)s)
    ORDER BY id DESC LIMIT %(limit)s""",
)


class MessagingStore:
    """Reads and writes conversations and messages."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def open(self, member_ids: list[UUID]) -> Conversation:
        """Make a conversation of these sorted members, or find the one that two of them have."""
        params = {"id": new_id(), "member_ids": member_ids}
        row = await self._database.row(_INSERT_CONVERSATION, params)
        if row is None:
            # Whoever was first has committed by now, so a statement that begins now sees it.
            row = await self._database.row(_CONVERSATION_OF_TWO, params)
        return _conversation(_present(row))

    async def conversation(self, conversation_id: UUID) -> Conversation:
        """A conversation.

        Raises:
            ServiceError: 404.
        """
        return _conversation(
            _present(await self._database.row(_CONVERSATION, {"id": conversation_id}))
        )

    async def conversations(
        self, user_id: UUID, before: UUID | None, limit: int
    ) -> list[Conversation]:
        """A person's conversations, newest first."""
        params = {"user_id": user_id, "before": before, "limit": limit}
        return [_conversation(row) for row in await self._database.rows(_CONVERSATIONS, params)]

    async def send(
        self, conversation: Conversation, sender_id: UUID, text: str, key: str | None
    ) -> tuple[Message, bool]:
        """Write a message and its `message.sent`; the message, and whether it is new.

        With a key that the sender used before, that message is found again.
        """
        message_id = new_id()
        sent = MessageSent(
            message_id=message_id,
            conversation_id=conversation.id,
            sender_id=sender_id,
            recipient_ids=[m for m in conversation.member_ids if m != sender_id],
        )
        params = {
            "id": message_id,
            "conversation_id": conversation.id,
            "sender_id": sender_id,
            "text": text,
            "key": key,
        }
        event = envelope(MessageSentEvent, "messaging", sent)
        row = await self._database.row(_INSERT_MESSAGE, with_event(params, event))
        if row is None:
            return _message(_present(await self._database.row(_MESSAGE_BY_KEY, params))), False
        self._outbox.wake()
        return _message(row), True

    async def messages(
        self, conversation_id: UUID, before: UUID | None, limit: int
    ) -> list[Message]:
        """A conversation's messages, newest first."""
        params = {"conversation_id": conversation_id, "before": before, "limit": limit}
        return [_message(row) for row in await self._database.rows(_MESSAGES, params)]


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("conversation")
    return row


def _conversation(row: Row) -> Conversation:
    conversation_id, member_ids, created_at = row
    return Conversation(id=conversation_id, member_ids=member_ids, created_at=created_at)


def _message(row: Row) -> Message:
    message_id, conversation_id, sender_id, text, created_at = row
    return Message(
        id=message_id,
        conversation_id=conversation_id,
        sender_id=sender_id,
        text=text,
        created_at=created_at,
    )
