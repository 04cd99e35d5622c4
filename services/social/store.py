"""Follows, and who wrote which post, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pulse_sdk.contract.domain import FollowChanged, UserFollowedEvent, UserUnfollowedEvent
from services.kit import outbox
from services.kit.db import Database, Query
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_NEWEST = UUID(int=(1 << 128) - 1)
"""Sorts after every id: where a list starts that has no cursor."""

_FOLLOW = Query(
    "follow",
    f"""WITH made AS (
        INSERT INTO follows (follower_id, followee_id, id)
        VALUES (%(follower_id)s, %(followee_id)s, %(id)s)
        ON CONFLICT DO NOTHING RETURNING id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT id FROM made""",
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
_IMPORT = Query(
    "follow_import",
    """INSERT INTO follows (id, follower_id, followee_id)
    SELECT * FROM unnest(%(ids)s::uuid[], %(follower_ids)s::uuid[], %(followee_ids)s::uuid[])
    ON CONFLICT DO NOTHING""",
)
_RECORD = Query(
    "author_posts_record",
    """WITH deleted AS (
        DELETE FROM author_posts
        USING unnest(%(deleted_authors)s::uuid[], %(deleted)s::uuid[]) AS gone (author, post)
        WHERE author_id = gone.author AND post_id = gone.post
    )
    INSERT INTO author_posts (author_id, post_id)
    SELECT * FROM unnest(%(created_authors)s::uuid[], %(created)s::uuid[])
    ON CONFLICT DO NOTHING""",
)
_FOLLOWERS_OF = Query(
    "followers_of_authors",
    """SELECT followee_id, array_agg(follower_id::text) FROM follows
    WHERE followee_id = ANY(%(authors)s) GROUP BY followee_id""",
)
# Each followee's newest posts come off the primary key in order; only those are sorted.
_FEED = Query(
    "feed",
    """SELECT newest.post_id::text FROM follows CROSS JOIN LATERAL (
        SELECT post_id FROM author_posts
        WHERE author_id = follows.followee_id AND post_id < %(before)s
        ORDER BY post_id DESC LIMIT %(count)s
    ) AS newest
    WHERE follower_id = %(reader)s ORDER BY newest.post_id DESC LIMIT %(count)s""",
)


class FollowRow(NamedTuple):
    """A follow as one of its two sides lists it."""

    id: UUID
    user_id: UUID
    """The other side."""
    followed_at: datetime


class AuthorPost(NamedTuple):
    """A post and who wrote it."""

    author_id: UUID
    post_id: UUID


class SocialStore:
    """Reads and writes follows, and the read model that feeds are built from."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def follow(self, follower_id: UUID, followee_id: UUID) -> None:
        """Make a follow, and tell of it if there was none."""
        changed = FollowChanged(follower_id=follower_id, followee_id=followee_id)
        params = {"follower_id": follower_id, "followee_id": followee_id, "id": new_id()}
        await self._change(_FOLLOW, params, envelope(UserFollowedEvent, "social", changed))

    async def unfollow(self, follower_id: UUID, followee_id: UUID) -> None:
        """End a follow, and tell of it if there was one."""
        changed = FollowChanged(follower_id=follower_id, followee_id=followee_id)
        params = {"follower_id": follower_id, "followee_id": followee_id}
        await self._change(_UNFOLLOW, params, envelope(UserUnfollowedEvent, "social", changed))

    async def _change(
        self,
        query: Query,
        params: dict[str, UUID],
        event: UserFollowedEvent | UserUnfollowedEvent,
    ) -> None:
        if await self._database.row(query, with_event(params, event)) is not None:
            self._outbox.wake()

    async def follows(self, follower_id: UUID, followee_id: UUID) -> bool:
        """Whether one person follows another."""
        params = {"follower_id": follower_id, "followee_id": followee_id}
        return await self._database.row(_FOLLOWS, params) is not None

    async def following(self, user_id: UUID, before: UUID | None, count: int) -> list[FollowRow]:
        """Follows of a user that are older than another follow, latest first."""
        return await self._follows(_FOLLOWING, user_id, before, count)

    async def followers(self, user_id: UUID, before: UUID | None, count: int) -> list[FollowRow]:
        """Follows to a user that are older than another follow, latest first."""
        return await self._follows(_FOLLOWERS, user_id, before, count)

    async def _follows(
        self, query: Query, user_id: UUID, before: UUID | None, count: int
    ) -> list[FollowRow]:
        params = {"user_id": user_id, "before": before or _NEWEST, "count": count}
        return [FollowRow(*row) for row in await self._database.rows(query, params)]

    async def import_follows(self, pairs: Sequence[tuple[UUID, UUID]]) -> int:
        """Add follows (follower, followee) that are not there yet; how many were added."""
        params = {
            "ids": [new_id() for _ in pairs],
            "follower_ids": [follower_id for follower_id, _ in pairs],
            "followee_ids": [followee_id for _, followee_id in pairs],
        }
        return await self._database.execute(_IMPORT, params)

    async def record(self, created: Sequence[AuthorPost], deleted: Sequence[AuthorPost]) -> None:
        """Take posts into the read model and out of it; doing it again changes nothing."""
        params = {
            "created_authors": [post.author_id for post in created],
            "created": [post.post_id for post in created],
            "deleted_authors": [post.author_id for post in deleted],
            "deleted": [post.post_id for post in deleted],
        }
        await self._database.execute(_RECORD, params)

    async def followers_of(self, authors: Sequence[UUID]) -> dict[UUID, list[str]]:
        """Every follower of each author who has any."""
        rows = await self._database.rows(_FOLLOWERS_OF, {"authors": list(authors)})
        return dict(rows)

    async def feed(self, reader: UUID, before: str | None, count: int) -> list[str]:
        """The newest posts of those whom a user follows that are older than a post."""
        start = _NEWEST if before is None else UUID(before)
        params = {"reader": reader, "before": start, "count": count}
        return [post_id for (post_id,) in await self._database.rows(_FEED, params)]
