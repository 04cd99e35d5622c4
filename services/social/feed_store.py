"""What feeds are built from, in PostgreSQL: who wrote which post, and who gets it how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from services.kit.db import Database, Query
from services.social.store import NEWEST

# Both directions leave a trace, so that they may be handled in any order.
_RECORD = Query(
    "author_posts_record",
    """WITH gone AS (
        INSERT INTO deleted_posts SELECT unnest(%(deleted)s::uuid[]) ON CONFLICT DO NOTHING
    ), removed AS (
        DELETE FROM author_posts
        USING unnest(%(deleted_authors)s::uuid[], %(deleted)s::uuid[]) AS gone (author, post)
        WHERE author_id = gone.author AND post_id = gone.post
    ), written AS (
        INSERT INTO author_posts (author_id, post_id)
        SELECT * FROM unnest(%(created_authors)s::uuid[], %(created)s::uuid[]) AS new (author, post)
        WHERE NOT EXISTS (SELECT FROM deleted_posts WHERE post_id = new.post)
        ON CONFLICT DO NOTHING
    )
    SELECT user_id, followers, merging, ARRAY(
        SELECT post_id FROM deleted_posts WHERE post_id = ANY(%(created)s::uuid[])
    ) FROM people WHERE user_id = ANY(%(authors)s::uuid[]) AND followers > 0""",
)
_EXPIRE = Query(
    "deleted_posts_expire",
    """DELETE FROM deleted_posts WHERE post_id IN (
        SELECT post_id FROM deleted_posts WHERE deleted_at < now() - %(days)s * interval '1 day'
        ORDER BY deleted_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
    )""",
)
_DELETED_DAYS = 30
"""After so long nothing tells of a post's making any more, but what was parked and is replayed: of
a post that was deleted that leaves an id in feeds which readers skip."""

_FOLLOWERS_OF = Query(
    "followers_of_authors",
    """SELECT followee_id, array_agg(follower_id::text) FROM follows
    WHERE followee_id = ANY(%(authors)s) GROUP BY followee_id""",
)
_SET_MERGING = Query(
    "people_merging_set",
    """UPDATE people SET merging = %(merging)s
    WHERE user_id = %(author)s AND merging < %(merging)s""",
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
_TIMELINE = Query(
    "timeline",
    f"""SELECT ARRAY({_FEED.sql}), ARRAY(
        SELECT followee_id::text FROM people JOIN follows ON followee_id = user_id
        WHERE merging > 0 AND follower_id = %(reader)s
    )""",  # noqa: S608 - made of constants
)
_POSTS_OF = Query(
    "author_posts",
    """SELECT post_id::text FROM author_posts
    WHERE author_id = %(author)s ORDER BY post_id DESC LIMIT %(count)s""",
)


class AuthorPost(NamedTuple):
    """A post and who wrote it."""

    author_id: UUID
    post_id: UUID


class Author(NamedTuple):
    """Someone whose posts somebody follows, and how their posts get into feeds."""

    user_id: UUID
    followers: int
    merging: int
    """0, pushed; 1, becoming merged; 2, merged at reading. See migrations/0002_people.sql."""


class Recorded(NamedTuple):
    """What is known of the posts that were recorded."""

    authors: list[Author]
    """Those of the authors who have followers."""
    gone: set[UUID]
    """Posts that were deleted before they were recorded."""


class Newest(NamedTuple):
    """What a reader's timeline is loaded with."""

    ids: list[str]
    merged: list[str]
    """Those whom the reader follows and whose posts are merged at reading."""


class FeedStore:
    """Reads and writes the read model that feeds are built from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, created: Sequence[AuthorPost], deleted: Sequence[AuthorPost]
    ) -> Recorded:
        """Take posts into the read model and out of it; doing it again changes nothing."""
        params = {
            "created_authors": [post.author_id for post in created],
            "created": [post.post_id for post in created],
            "deleted_authors": [post.author_id for post in deleted],
            "deleted": [post.post_id for post in deleted],
            "authors": list({post.author_id for post in (*created, *deleted)}),
        }
        rows = await self._database.rows(_RECORD, params)
        gone = set(rows[0][3]) if rows else set()
        return Recorded([Author(*row[:3]) for row in rows], gone)

    async def expire(self, count: int = 1000) -> int | None:
        """Forget some deletions of long ago; how many, None when there are none."""
        params = {"days": _DELETED_DAYS, "count": count}
        return await self._database.execute(_EXPIRE, params) or None

    async def followers_of(self, authors: Sequence[UUID]) -> dict[UUID, list[str]]:
        """Every follower of each author who has any."""
        rows = await self._database.rows(_FOLLOWERS_OF, {"authors": list(authors)})
        return dict(rows)

    async def set_merging(self, author: UUID, merging: int) -> None:
        """Take an author a step further from pushing to merging; never back."""
        await self._database.execute(_SET_MERGING, {"author": author, "merging": merging})

    async def feed(self, reader: UUID, before: str | None, count: int) -> list[str]:
        """The newest posts of those whom a user follows that are older than a post."""
        start = NEWEST if before is None else UUID(before)
        params = {"reader": reader, "before": start, "count": count}
        return [post_id for (post_id,) in await self._database.rows(_FEED, params)]

    async def timeline(self, reader: UUID, count: int) -> Newest:
        """A user's newest posts, and whose posts are merged with them, at one moment."""
        params = {"reader": reader, "before": NEWEST, "count": count}
        row = await self._database.row(_TIMELINE, params)
        return Newest(*row) if row else Newest([], [])

    async def posts_of(self, author: str, count: int) -> list[str]:
        """An author's newest posts."""
        params = {"author": author, "count": count}
        return [post_id for (post_id,) in await self._database.rows(_POSTS_OF, params)]
