"""Messages, their delivery to each recipient, and what was read, in PostgreSQL.

Why a client that continues after a position misses nothing and gets nothing twice: one statement
writes a message and gives it the next position of each recipient's inbox. The inbox's row stays
locked from then to the commit. So whoever takes position n + 1 begins after n was committed, and
a reader that sees n + 1 sees everything up to it: positions appear in their order, without gaps,
whichever instances send at once. Ids (UUIDv7) do not, for clocks differ and commits overtake one
another.

Why unread counts are exact: the same statement adds one to `delivered` of each recipient's
membership and keeps the sum with the delivery (`ordinal`). What was read is an ordinal as well,
so that unread = delivered - read holds whatever happens at the same time. Both kinds of row are
locked by user id, so statements cannot wait for each other in a circle.
"""

# ruff: noqa: S608 - SQL is composed of module constants only
from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pulse_sdk.contract.domain import MessageSent, MessageSentEvent
from pulse_sdk.contract.messaging import Message
from services.kit import outbox
from services.kit.blocks import blocked
from services.kit.db import Database, Query, Row
from services.kit.ids import first_id_of, new_id
from services.kit.outbox import Outbox, envelope, with_event
from services.messaging.store import GROUP

_COLUMNS = "m.id, m.conversation_id, m.sender_id, m.text, m.created_at"
# Only the statement itself knows for certain who the recipients are.
_EVENT = outbox.INSERT.replace(
    "%(event_envelope)s",
    """jsonb_set(
        %(event_envelope)s::jsonb, ARRAY['data', 'recipient_ids'], to_jsonb(told.user_ids)
    )::text""",
)
_SEND = Query(
    "message_send",
    f"""WITH permitted AS (
        SELECT s.delivered FROM memberships s JOIN conversations c ON c.id = s.conversation_id
        WHERE s.user_id = %(user_id)s AND s.conversation_id = %(conversation_id)s
            AND ({GROUP} OR NOT {blocked("c.member_ids")})
    ), m AS (
        INSERT INTO messages
            (id, conversation_id, sender_id, text, idempotency_key, sender_delivered)
        SELECT %(id)s, %(conversation_id)s, %(user_id)s, %(text)s, %(key)s, delivered
        FROM permitted
        ON CONFLICT (sender_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id, conversation_id, sender_id, text, created_at
    ), recipients AS (
        SELECT user_id FROM memberships
        WHERE conversation_id = %(conversation_id)s AND user_id <> %(user_id)s
            AND EXISTS (SELECT FROM m)
        ORDER BY user_id FOR NO KEY UPDATE
    ), placed AS (
        INSERT INTO inboxes AS inbox (user_id, position)
        SELECT user_id, 1 FROM recipients ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET position = inbox.position + 1
        RETURNING user_id, position
    ), counted AS (
        UPDATE memberships s SET delivered = s.delivered + 1 FROM recipients
        WHERE s.user_id = recipients.user_id AND s.conversation_id = %(conversation_id)s
        RETURNING s.user_id, s.delivered
    ), delivered AS (
        INSERT INTO deliveries (user_id, position, conversation_id, message_id, ordinal)
        SELECT user_id, placed.position, %(conversation_id)s, %(id)s, counted.delivered
        FROM placed JOIN counted USING (user_id)
    ), told AS (
        SELECT coalesce(array_agg(user_id), '{{}}') AS user_ids,
            coalesce(array_agg(position), '{{}}') AS positions
        FROM placed
    ), event AS ({_EVENT} FROM m, told)
    SELECT {_COLUMNS}, told.user_ids, told.positions FROM m, told""",
)
_BY_KEY = Query(
    "message_by_key",
    f"""SELECT {_COLUMNS} FROM messages m
    WHERE m.sender_id = %(user_id)s AND m.idempotency_key = %(key)s""",
)
_MESSAGES = Query(
    "messages_of_conversation",
    f"""SELECT {_COLUMNS} FROM messages m
    WHERE m.conversation_id = %(conversation_id)s
        AND (%(before)s::uuid IS NULL OR m.id < %(before)s)
    ORDER BY m.id DESC LIMIT %(limit)s""",
)
_DELIVERIES = Query(
    "deliveries_after",
    f"""SELECT {_COLUMNS}, d.position
    FROM deliveries d
    JOIN messages m ON m.conversation_id = d.conversation_id AND m.id = d.message_id
    WHERE d.user_id = %(user_id)s AND d.position > %(after)s
    ORDER BY d.position LIMIT %(limit)s""",
)
_POSITIONS = Query(
    "inbox_positions", "SELECT user_id, position FROM inboxes WHERE user_id = ANY(%(user_ids)s)"
)
# One's own message stands for what one had got when it was sent. A message from before joining
# was not delivered, and marks nothing.
_MARK_READ = Query(
    "message_mark_read",
    """WITH mark AS (
        SELECT CASE WHEN m.sender_id = %(user_id)s THEN m.sender_delivered
            ELSE coalesce(d.ordinal, 0) END AS ordinal
        FROM messages m LEFT JOIN deliveries d ON d.user_id = %(user_id)s
            AND d.conversation_id = m.conversation_id AND d.message_id = m.id
        WHERE m.conversation_id = %(conversation_id)s AND m.id = %(message_id)s
    )
    UPDATE memberships s SET read = greatest(s.read, mark.ordinal) FROM mark
    WHERE s.user_id = %(user_id)s AND s.conversation_id = %(conversation_id)s
    RETURNING s.delivered - s.read""",
)
_UNREAD = Query(
    "messages_unread",
    """SELECT coalesce(sum(delivered - read), 0)::bigint FROM memberships
    WHERE user_id = %(user_id)s""",
)
# What is left out: what members have not read, and the last of each conversation, so that `ordinal`
# goes on from there for whoever leaves and comes back.
_EXPIRE = Query(
    "deliveries_expire",
    """WITH people AS (
        SELECT user_id FROM inboxes WHERE user_id > %(behind)s ORDER BY user_id LIMIT %(limit)s
    ), old AS (
        SELECT d.user_id, d.position FROM people CROSS JOIN LATERAL (
            SELECT * FROM deliveries WHERE deliveries.user_id = people.user_id
            ORDER BY position LIMIT 1000
        ) AS d LEFT JOIN memberships AS m
            ON m.user_id = d.user_id AND m.conversation_id = d.conversation_id
        WHERE d.message_id < %(before)s AND CASE
            WHEN m.user_id IS NOT NULL THEN d.ordinal <= m.read AND d.ordinal < m.delivered
            ELSE EXISTS (
                SELECT FROM deliveries AS later
                WHERE later.user_id = d.user_id AND later.conversation_id = d.conversation_id
                    AND later.ordinal > d.ordinal
            ) END
    ), gone AS (
        DELETE FROM deliveries USING old
        WHERE deliveries.user_id = old.user_id AND deliveries.position = old.position
        RETURNING 1
    )
    SELECT (SELECT user_id FROM people ORDER BY user_id DESC LIMIT 1), (SELECT count(*) FROM gone)
    """,
)
_FIRST = UUID(int=0)
_EXPIRED_AT_ONCE = 20
"""People whose old deliveries are deleted by one statement."""


class Delivery(NamedTuple):
    """A message as it was delivered to one person."""

    position: int
    message: Message


class Sent(NamedTuple):
    """A message, and its position in the inbox of each recipient."""

    message: Message
    positions: dict[UUID, int]


class MailStore:
    """Reads and writes messages.

    What tells a client where it stands, deliveries and positions, never comes from a replica.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._expired = _FIRST

    async def send(
        self, sender_id: UUID, conversation_id: UUID, text: str, key: str | None
    ) -> Sent | None:
        """Write a message, deliver it and tell of it.

        None when the key was used before or the sender may not: no member, or blocked.
        """
        message_id = new_id()
        sent = MessageSent(
            message_id=message_id,
            conversation_id=conversation_id,
            sender_id=sender_id,
            recipient_ids=[],
        )
        params = {
            "id": message_id,
            "conversation_id": conversation_id,
            "user_id": sender_id,
            "text": text,
            "key": key,
        }
        event = envelope(MessageSentEvent, "messaging", sent)
        row = await self._database.row(_SEND, with_event(params, event))
        if row is None:
            return None
        self._outbox.wake()
        *columns, user_ids, positions = row
        await self._database.wrote_for(user_ids)  # they are told, and may look at once
        return Sent(_message(columns), dict(zip(user_ids, positions, strict=True)))

    async def sent_with(self, sender_id: UUID, key: str) -> Message | None:
        """The message that somebody sent with an idempotency key."""
        row = await self._database.row(_BY_KEY, {"user_id": sender_id, "key": key})
        return None if row is None else _message(row)

    async def messages(
        self, conversation_id: UUID, before: UUID | None, limit: int
    ) -> list[Message]:
        """A conversation's messages, newest first."""
        params = {"conversation_id": conversation_id, "before": before, "limit": limit}
        return [_message(row) for row in await self._database.read(_MESSAGES, params)]

    async def deliveries(self, user_id: UUID, after: int, limit: int) -> list[Delivery]:
        """What was delivered to somebody after a position, in order."""
        params = {"user_id": user_id, "after": after, "limit": limit}
        rows = await self._database.rows(_DELIVERIES, params)
        return [Delivery(position, _message(columns)) for *columns, position in rows]

    async def positions(self, user_ids: Sequence[UUID]) -> dict[UUID, int]:
        """The last position of each person to whom anything was delivered."""
        return dict(await self._database.rows(_POSITIONS, {"user_ids": list(user_ids)}))

    async def expire(self, days: int) -> int | None:
        """Delete the next people's read deliveries that are older; how many, None after the last.

        To mark such a message as read changes nothing, as it should: it was read.
        """
        before = first_id_of(datetime.now(UTC) - timedelta(days=days))
        params = {"behind": self._expired, "before": before, "limit": _EXPIRED_AT_ONCE}
        ((last, deleted),) = await self._database.rows(_EXPIRE, params)
        self._expired = last or _FIRST
        return None if last is None else int(deleted)

    async def mark_read(self, user_id: UUID, conversation_id: UUID, message_id: UUID) -> int | None:
        """Mark a message and what was delivered before it as read; how many are left unread.

        None when there is no such message, or the reader is no member.
        """
        params = {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "message_id": message_id,
        }
        row = await self._database.row(_MARK_READ, params)
        return None if row is None else int(row[0])

    async def unread(self, user_id: UUID) -> int:
        """How many messages somebody has not read, in all conversations."""
        row = await self._database.row(_UNREAD, {"user_id": user_id})
        return 0 if row is None else int(row[0])


def _message(row: Row | Sequence[object]) -> Message:
    message_id, conversation_id, sender_id, text, created_at = row
    return Message.model_validate(
        {
            "id": message_id,
            "conversation_id": conversation_id,
            "sender_id": sender_id,
            "text": text,
            "created_at": created_at,
        }
    )
