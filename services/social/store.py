"""Who follows and who blocks whom, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.domain import (
    BlockChanged,
    FollowChanged,
    UserBlockedEvent,
    UserFollowedEvent,
    UserUnblockedEvent,
    UserUnfollowedEvent,
)
from pulse_sdk.contract.social import Counts, Recommendation, Relation
from services.kit import outbox
from services.kit.db import Database, Query
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

NEWEST = UUID(int=(1 << 128) - 1)
"""Sorts after every id: where a list starts that has no cursor."""

# Counts and blocks are looked after by triggers (migrations/0002_people.sql).
_FOLLOW = Query(
    "follow",
    f"""WITH made AS (
        INSERT INTO follows (follower_id, followee_id, id)
        SELECT %(follower_id)s, %(followee_id)s, %(id)s WHERE NOT EXISTS (
            SELECT FROM people WHERE user_id = %(follower_id)s AND following >= %(most)s
        )
        ON CONFLICT DO NOTHING RETURNING id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT EXISTS (SELECT FROM made), EXISTS (
        SELECT FROM follows WHERE follower_id = %(follower_id)s AND followee_id = %(followee_id)s
    ), coalesce((SELECT following FROM people WHERE user_id = %(follower_id)s), 0) >= %(most)s""",
)
_UNFOLLOW = Query(
    "unfollow",
    f"""WITH ended AS (
        DELETE FROM follows WHERE follower_id = %(follower_id)s AND followee_id = %(followee_id)s
        RETURNING id
    ), event AS ({outbox.INSERT} FROM ended)
    SELECT id FROM ended""",
)
_FOLLOWS = Query(
    "follows",
    """SELECT 1 FROM follows
    WHERE follower_id = %(follower_id)s AND followee_id = %(followee_id)s""",
)
_FOLLOWED = Query(
    "followed_of_authors",
    """SELECT followee_id FROM follows
    WHERE follower_id = %(follower_id)s AND followee_id = ANY(%(authors)s::uuid[])""",
)
_FOLLOWING = Query(
    "following",
    """SELECT id, followee_id, followed_at FROM follows
    WHERE follower_id = %(user_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(count)s""",
)
_FOLLOWERS = Query(
    "followers",
    """SELECT id, follower_id, followed_at FROM follows
    WHERE followee_id = %(user_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(count)s""",
)
_MUTUALS = Query(
    "mutuals",
    """SELECT id, followee_id, followed_at FROM follows
    WHERE follower_id = %(user_id)s AND id < %(before)s AND EXISTS (
        SELECT FROM follows AS back
        WHERE back.follower_id = follows.followee_id AND back.followee_id = %(user_id)s
    ) ORDER BY id DESC LIMIT %(count)s""",
)
_COUNTS = Query("counts", "SELECT followers, following FROM people WHERE user_id = %(user_id)s")
_RELATION = Query(
    "relation",
    """SELECT
        EXISTS (SELECT FROM follows WHERE follower_id = %(caller)s AND followee_id = %(other)s),
        EXISTS (SELECT FROM follows WHERE follower_id = %(other)s AND followee_id = %(caller)s),
        EXISTS (SELECT FROM blocks WHERE blocker_id = %(caller)s AND blocked_id = %(other)s)""",
)
_BLOCK = Query(
    "block",
    f"""WITH made AS (
        INSERT INTO blocks (blocker_id, blocked_id, id)
        VALUES (%(blocker_id)s, %(blocked_id)s, %(id)s)
        ON CONFLICT DO NOTHING RETURNING id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT id FROM made""",
)
_UNBLOCK = Query(
    "unblock",
    f"""WITH ended AS (
        DELETE FROM blocks WHERE blocker_id = %(blocker_id)s AND blocked_id = %(blocked_id)s
        RETURNING id
    ), event AS ({outbox.INSERT} FROM ended)
    SELECT id FROM ended""",
)
_BLOCKS = Query(
    "blocks",
    """SELECT id, blocked_id, blocked_at FROM blocks
    WHERE blocker_id = %(user_id)s AND id < %(before)s ORDER BY id DESC LIMIT %(count)s""",
)
# At most `breadth` times `breadth` follows are looked at, the latest of each.
_CANDIDATES = Query(
    "recommendation_candidates",
    """SELECT theirs.followee_id, count(*) AS common FROM (
        SELECT followee_id FROM follows
        WHERE follower_id = %(user_id)s ORDER BY id DESC LIMIT %(breadth)s
    ) AS mine CROSS JOIN LATERAL (
        SELECT followee_id FROM follows
        WHERE follower_id = mine.followee_id ORDER BY id DESC LIMIT %(breadth)s
    ) AS theirs
    WHERE theirs.followee_id <> %(user_id)s AND NOT EXISTS (
        SELECT FROM follows
        WHERE follower_id = %(user_id)s AND followee_id = theirs.followee_id
    )
    GROUP BY theirs.followee_id ORDER BY common DESC, theirs.followee_id LIMIT %(count)s""",
)
_STRANGERS = Query(
    "recommendation_strangers",
    """SELECT candidate FROM unnest(%(candidates)s::uuid[]) AS candidate WHERE NOT EXISTS (
        SELECT FROM follows WHERE follower_id = %(user_id)s AND followee_id = candidate
    ) AND NOT EXISTS (
        SELECT FROM blocks WHERE blocker_id = %(user_id)s AND blocked_id = candidate
    ) AND NOT EXISTS (
        SELECT FROM blocks WHERE blocker_id = candidate AND blocked_id = %(user_id)s
    )""",
)
_IMPORT = Query(
    "follow_import",
    """INSERT INTO follows (id, follower_id, followee_id)
    SELECT wanted.* FROM unnest(%(ids)s::uuid[], %(follower_ids)s::uuid[], %(followee_ids)s::uuid[])
        AS wanted (id, follower_id, followee_id)
    WHERE NOT EXISTS (
        SELECT FROM blocks WHERE blocker_id = follower_id AND blocked_id = followee_id
    ) AND NOT EXISTS (
        SELECT FROM blocks WHERE blocker_id = followee_id AND blocked_id = follower_id
    )
    ON CONFLICT DO NOTHING""",
)


class ListedRow(NamedTuple):
    """A follow or a block as one of its two sides lists it."""

    id: UUID
    user_id: UUID
    """The other side."""
    since: datetime


class SocialStore:
    """Reads and writes follows and blocks."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def follow(self, follower_id: UUID, followee_id: UUID, most: int) -> bool:
        """Make a follow, and tell of it if there was none; False if that were more than `most`.

        Raises:
            ServiceError: 403 `blocked`.
        """
        changed = FollowChanged(follower_id=follower_id, followee_id=followee_id)
        params = {
            "follower_id": follower_id,
            "followee_id": followee_id,
            "id": new_id(),
            "most": most,
        }
        event = envelope(UserFollowedEvent, "social", changed)
        try:
            row = await self._database.row(_FOLLOW, with_event(params, event))
        except psycopg2.errors.CheckViolation as error:
            if error.diag.constraint_name != "follows_not_blocked":
                raise
            raise ServiceError.forbidden("blocked", "One of you blocks the other.") from None
        made, was_there, is_full = row or (False, False, False)
        if made:
            self._outbox.wake()
        return made or was_there or not is_full

    async def unfollow(self, follower_id: UUID, followee_id: UUID) -> None:
        """End a follow, and tell of it if there was one."""
        changed = FollowChanged(follower_id=follower_id, followee_id=followee_id)
        params = {"follower_id": follower_id, "followee_id": followee_id}
        await self._change(_UNFOLLOW, params, envelope(UserUnfollowedEvent, "social", changed))

    async def block(self, blocker_id: UUID, blocked_id: UUID) -> None:
        """Make a block, and tell of it if there was none; follows between the two end."""
        changed = BlockChanged(blocker_id=blocker_id, blocked_id=blocked_id)
        params = {"blocker_id": blocker_id, "blocked_id": blocked_id, "id": new_id()}
        await self._change(_BLOCK, params, envelope(UserBlockedEvent, "social", changed))

    async def unblock(self, blocker_id: UUID, blocked_id: UUID) -> None:
        """End a block, and tell of it if there was one."""
        changed = BlockChanged(blocker_id=blocker_id, blocked_id=blocked_id)
        params = {"blocker_id": blocker_id, "blocked_id": blocked_id}
        await self._change(_UNBLOCK, params, envelope(UserUnblockedEvent, "social", changed))

    async def _change(
        self,
        query: Query,
        params: dict[str, UUID],
        event: UserUnfollowedEvent | UserBlockedEvent | UserUnblockedEvent,
    ) -> None:
        if await self._database.row(query, with_event(params, event)) is not None:
            self._outbox.wake()

    async def follows(self, follower_id: UUID, followee_id: UUID) -> bool:
        """Whether one person follows another."""
        params = {"follower_id": follower_id, "followee_id": followee_id}
        return await self._database.row(_FOLLOWS, params) is not None

    async def followed(self, follower_id: UUID, authors: Sequence[UUID]) -> set[UUID]:
        """Those of some authors whom a person follows."""
        params = {"follower_id": follower_id, "authors": list(authors)}
        return {author for (author,) in await self._database.rows(_FOLLOWED, params)}

    async def following(self, user_id: UUID, before: UUID | None, count: int) -> list[ListedRow]:
        """Follows of a user that are older than another follow, latest first."""
        return await self._listed(_FOLLOWING, user_id, before, count)

    async def followers(self, user_id: UUID, before: UUID | None, count: int) -> list[ListedRow]:
        """Follows to a user that are older than another follow, latest first."""
        return await self._listed(_FOLLOWERS, user_id, before, count)

    async def mutuals(self, user_id: UUID, before: UUID | None, count: int) -> list[ListedRow]:
        """Follows of a user that are returned, older than another follow, latest first."""
        return await self._listed(_MUTUALS, user_id, before, count)

    async def blocks(self, user_id: UUID, before: UUID | None, count: int) -> list[ListedRow]:
        """Blocks by a user that are older than another block, latest first."""
        return await self._listed(_BLOCKS, user_id, before, count)

    async def _listed(
        self, query: Query, user_id: UUID, before: UUID | None, count: int
    ) -> list[ListedRow]:
        params = {"user_id": user_id, "before": before or NEWEST, "count": count}
        return [ListedRow(*row) for row in await self._database.read(query, params)]

    async def counts(self, user_id: UUID) -> Counts:
        """How many follow a user, and how many they follow."""
        row = await self._database.row(_COUNTS, {"user_id": user_id})
        followers, following = row or (0, 0)
        return Counts(followers=followers, following=following)

    async def relation(self, caller: UUID, other: UUID) -> Relation:
        """What is between a user and another."""
        row = await self._database.row(_RELATION, {"caller": caller, "other": other})
        following, followed_by, blocked = row or (False, False, False)
        return Relation(following=following, followed_by=followed_by, blocked=blocked)

    async def candidates(self, user_id: UUID, breadth: int, count: int) -> list[Recommendation]:
        """Those whom most of a user's followees follow; blocks are not looked at."""
        params = {"user_id": user_id, "breadth": breadth, "count": count}
        return [
            Recommendation(user_id=candidate, common=common)
            for candidate, common in await self._database.rows(_CANDIDATES, params)
        ]

    async def strangers(self, user_id: UUID, candidates: Sequence[UUID]) -> set[UUID]:
        """Those candidates whom a user does not follow and with whom there is no block."""
        params = {"user_id": user_id, "candidates": list(candidates)}
        return {found for (found,) in await self._database.rows(_STRANGERS, params)}

    async def import_follows(self, pairs: Sequence[tuple[UUID, UUID]]) -> int:
        """Add follows (follower, followee) that are not there yet; how many were added."""
        ordered = sorted(set(pairs))  # imports that overlap wait for each other, none in a circle
        params = {
            "ids": [new_id() for _ in ordered],
            "follower_ids": [follower_id for follower_id, _ in ordered],
            "followee_ids": [followee_id for _, followee_id in ordered],
        }
        return await self._database.execute(_IMPORT, params)
