"""Conversations and memberships in PostgreSQL; messages are in `mail`."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from pulse_sdk.contract.messaging import MAX_MEMBERS, Conversation
from services.kit.blocks import blocked
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id

GROUP = "(cardinality(c.member_ids) IS DISTINCT FROM 2)"
"""Whether the conversation `c` is a group."""

_JOINED = "joined AS (INSERT INTO memberships (user_id, conversation_id)"
_OPEN_DIRECT = Query(
    "conversation_open_direct",
    f"""WITH opened AS (
        INSERT INTO conversations (id, member_ids, opened_by)
        SELECT %(id)s, %(member_ids)s, %(user_id)s WHERE NOT {blocked("%(member_ids)s")}
        ON CONFLICT (member_ids) WHERE cardinality(member_ids) = 2 DO NOTHING
        RETURNING id
    ), {_JOINED} SELECT unnest(%(member_ids)s), id FROM opened)
    SELECT id FROM opened""",
)
_CONVERSATION_OF_TWO = Query(
    "conversation_of_two",
    """SELECT id FROM conversations
    WHERE member_ids = %(member_ids)s AND cardinality(member_ids) = 2""",
)
_OPEN_GROUP = Query(
    "conversation_open_group",
    f"""WITH opened AS (
        INSERT INTO conversations (id, title, opened_by, owner_id, founder_ids, idempotency_key)
        SELECT %(id)s, %(title)s, %(user_id)s, %(user_id)s, %(member_ids)s, %(key)s
        WHERE NOT {blocked("%(member_ids)s")}
        ON CONFLICT (opened_by, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id
    ), {_JOINED} SELECT unnest(%(member_ids)s), id FROM opened)
    SELECT id FROM opened""",
)
_GROUP_BY_KEY = Query(
    "conversation_by_key",
    """SELECT id, founder_ids FROM conversations
    WHERE opened_by = %(user_id)s AND idempotency_key = %(key)s""",
)

_VIEW = f"""SELECT c.id, {GROUP}, c.title, c.owner_id,
        ARRAY(SELECT user_id FROM memberships WHERE conversation_id = c.id ORDER BY user_id),
        c.created_at, m.delivered - m.read
    FROM memberships m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.user_id = %(user_id)s"""
_CONVERSATION = Query("conversation_by_id", f"{_VIEW} AND m.conversation_id = %(conversation_id)s")
_CONVERSATIONS = Query(
    "conversations_of_user",
    f"""{_VIEW} AND (%(before)s::uuid IS NULL OR m.conversation_id < %(before)s)
    ORDER BY m.conversation_id DESC LIMIT %(limit)s""",
)
_RENAME = Query(
    "conversation_rename",
    f"""UPDATE conversations c SET title = %(title)s
    FROM memberships m
    WHERE c.id = %(conversation_id)s AND {GROUP}
        AND m.user_id = %(user_id)s AND m.conversation_id = c.id""",
)
_IS_MEMBER = Query(
    "membership_by_id",
    """SELECT 1 FROM memberships
    WHERE user_id = %(user_id)s AND conversation_id = %(conversation_id)s""",
)

# Sent together these are one transaction, whose second statement begins, and so sees what others
# did, only when it holds the conversation's lock.
_LOCK = "SELECT FROM conversations WHERE id = %(conversation_id)s FOR NO KEY UPDATE;"
_SEEN = f"""SELECT {GROUP}, c.owner_id,
        ARRAY(SELECT user_id FROM memberships WHERE conversation_id = c.id) AS members
    FROM conversations c WHERE c.id = %(conversation_id)s"""
_ADD = Query(
    "membership_add",
    f"""{_LOCK}
    WITH seen (is_group, owner_id, members) AS MATERIALIZED ({_SEEN}), added AS (
        INSERT INTO memberships (user_id, conversation_id, delivered, read)
        SELECT %(member_id)s, %(conversation_id)s, last.ordinal, last.ordinal
        FROM seen, (
            SELECT coalesce(max(ordinal), 0) AS ordinal FROM deliveries
            WHERE user_id = %(member_id)s AND conversation_id = %(conversation_id)s
        ) AS last
        WHERE is_group AND %(user_id)s = ANY(members) AND NOT %(member_id)s = ANY(members)
            AND cardinality(members) < {MAX_MEMBERS}
            AND NOT {blocked("ARRAY[%(member_id)s]")}
        RETURNING user_id
    )
    SELECT is_group, owner_id, members, EXISTS (SELECT FROM added) FROM seen""",
)
_REMOVE = Query(
    "membership_remove",
    f"""{_LOCK}
    WITH seen (is_group, owner_id, members) AS MATERIALIZED ({_SEEN}), removed AS (
        DELETE FROM memberships USING seen
        WHERE user_id = %(member_id)s AND conversation_id = %(conversation_id)s
            AND is_group AND %(user_id)s IN (%(member_id)s, owner_id)
        RETURNING user_id
    ), inherited AS (
        UPDATE conversations SET owner_id = (
            SELECT user_id FROM memberships
            WHERE conversation_id = %(conversation_id)s AND user_id <> %(member_id)s
            ORDER BY joined_at, user_id LIMIT 1
        )
        WHERE id = %(conversation_id)s AND owner_id = %(member_id)s
            AND EXISTS (SELECT FROM removed)
    )
    SELECT is_group, owner_id, members, EXISTS (SELECT FROM removed) FROM seen""",
)

# Whom to tell of what a member does. In a conversation of two whose members have blocked one
# another: nobody.
_AUDIENCE = Query(
    "conversation_audience",
    f"""SELECT other.user_id
    FROM memberships m JOIN conversations c ON c.id = m.conversation_id
    JOIN memberships other ON other.conversation_id = c.id AND other.user_id <> m.user_id
    WHERE m.user_id = %(user_id)s AND m.conversation_id = %(conversation_id)s
        AND ({GROUP} OR NOT {blocked("c.member_ids")})""",
)
_IS_BLOCKED = Query(
    "conversation_blocked",
    f"""SELECT NOT {GROUP} AND {blocked("c.member_ids")}
    FROM memberships m JOIN conversations c ON c.id = m.conversation_id
    WHERE m.user_id = %(user_id)s AND m.conversation_id = %(conversation_id)s""",
)
# Whose presence a member may see in a conversation: theirs, without blocks.
_COMPANY = Query(
    "conversation_company",
    f"""SELECT other.user_id
    FROM memberships m JOIN memberships other ON other.conversation_id = m.conversation_id
    WHERE m.user_id = %(user_id)s AND m.conversation_id = %(conversation_id)s
        AND other.user_id <> m.user_id AND NOT {blocked("ARRAY[other.user_id]")}""",
)
_CONTACTS = Query(
    "contacts_of_user",
    f"""SELECT DISTINCT other.user_id
    FROM memberships m JOIN memberships other ON other.conversation_id = m.conversation_id
    WHERE m.user_id = %(user_id)s AND other.user_id <> m.user_id
        AND NOT {blocked("ARRAY[other.user_id]")}
    LIMIT %(limit)s""",
)


class Opened(NamedTuple):
    """A conversation that was opened or found again."""

    id: UUID
    founder_ids: list[UUID]
    """The members it was opened with, sorted."""


class Change(NamedTuple):
    """What an attempt to change a conversation's members met, and whether it changed them."""

    is_group: bool
    owner_id: UUID | None
    members: list[UUID]
    """As they were before."""
    made: bool


class ConversationStore:
    """Reads and writes conversations, and who is in them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_direct(self, user_id: UUID, member_ids: list[UUID]) -> UUID:
        """Make the conversation of these two (sorted), or find it.

        Raises:
            ServiceError: 403 `blocked`, there is none yet and one has blocked the other.
        """
        params = {"id": new_id(), "user_id": user_id, "member_ids": member_ids}
        row = await self._database.row(_OPEN_DIRECT, params)
        if row is None:
            # Whoever was first has committed by now, so a statement that begins now sees it.
            row = await self._database.row(_CONVERSATION_OF_TWO, params)
        if row is None:
            raise was_blocked()
        return UUID(str(row[0]))

    async def open_group(
        self, user_id: UUID, member_ids: list[UUID], title: str | None, key: str | None
    ) -> Opened:
        """Make a group of these sorted members, or find the one that `key` made.

        Raises:
            ServiceError: 403 `blocked`, somebody and the one who opens it have blocked each other.
        """
        params = {
            "id": new_id(),
            "user_id": user_id,
            "member_ids": member_ids,
            "title": title,
            "key": key,
        }
        if (row := await self._database.row(_OPEN_GROUP, params)) is not None:
            return Opened(row[0], member_ids)
        if key is None or (row := await self._database.row(_GROUP_BY_KEY, params)) is None:
            raise was_blocked()
        return Opened(*row)

    async def conversation(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """A conversation as one of its members sees it.

        Raises:
            ServiceError: 404, also for who is no member.
        """
        params = {"user_id": user_id, "conversation_id": conversation_id}
        row = await self._database.row(_CONVERSATION, params)
        if row is None:
            raise ServiceError.not_found("conversation")
        return _conversation(row)

    async def conversations(
        self, user_id: UUID, before: UUID | None, limit: int
    ) -> list[Conversation]:
        """A person's conversations, newest first."""
        params = {"user_id": user_id, "before": before, "limit": limit}
        return [_conversation(row) for row in await self._database.read(_CONVERSATIONS, params)]

    async def rename(self, user_id: UUID, conversation_id: UUID, title: str) -> bool:
        """Give a group that somebody is in a title; whether there is such a group."""
        params = {"user_id": user_id, "conversation_id": conversation_id, "title": title}
        return await self._database.execute(_RENAME, params) > 0

    async def is_member(self, user_id: UUID, conversation_id: UUID) -> bool:
        """Whether somebody is in a conversation."""
        params = {"user_id": user_id, "conversation_id": conversation_id}
        return await self._database.row(_IS_MEMBER, params) is not None

    async def add(self, user_id: UUID, conversation_id: UUID, member_id: UUID) -> Change | None:
        """Have a member add somebody to a group; None when there is no such conversation."""
        return await self._change(_ADD, user_id, conversation_id, member_id)

    async def remove(self, user_id: UUID, conversation_id: UUID, member_id: UUID) -> Change | None:
        """Have somebody leave a group, or its owner remove them; None as for `add`.

        When the owner leaves, whoever has been in it the longest becomes the owner.
        """
        return await self._change(_REMOVE, user_id, conversation_id, member_id)

    async def _change(
        self, query: Query, user_id: UUID, conversation_id: UUID, member_id: UUID
    ) -> Change | None:
        params = {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "member_id": member_id,
        }
        row = await self._database.row(query, params)
        return None if row is None else Change(*row)

    async def audience(self, user_id: UUID, conversation_id: UUID) -> list[UUID]:
        """The other members, if somebody is a member whom they have not blocked."""
        params = {"user_id": user_id, "conversation_id": conversation_id}
        return [other for (other,) in await self._database.rows(_AUDIENCE, params)]

    async def is_blocked(self, user_id: UUID, conversation_id: UUID) -> bool | None:
        """Whether a member may say nothing in it for a block; None for who is no member."""
        params = {"user_id": user_id, "conversation_id": conversation_id}
        row = await self._database.row(_IS_BLOCKED, params)
        return None if row is None else bool(row[0])

    async def company(self, user_id: UUID, conversation_id: UUID) -> list[UUID]:
        """The other members, without those whom a member has blocked or who blocked them."""
        params = {"user_id": user_id, "conversation_id": conversation_id}
        return [other for (other,) in await self._database.rows(_COMPANY, params)]

    async def contacts(self, user_id: UUID, limit: int) -> list[UUID]:
        """Up to `limit` of those who share a conversation with somebody, without blocks."""
        params = {"user_id": user_id, "limit": limit}
        return [other for (other,) in await self._database.rows(_CONTACTS, params)]


def was_blocked() -> ServiceError:
    """403: one of the two has blocked the other; which one is not told."""
    return ServiceError.forbidden("blocked", "One of you has blocked the other.")


def _conversation(row: Row) -> Conversation:
    conversation_id, is_group, title, owner_id, member_ids, created_at, unread = row
    return Conversation(
        id=conversation_id,
        kind="group" if is_group else "direct",
        title=title,
        owner_id=owner_id,
        member_ids=member_ids,
        created_at=created_at,
        unread=unread,
    )
