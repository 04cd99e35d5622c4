"""Posts and likes in PostgreSQL; comments are in `comments.py`.

Whatever changes likes or comments locks their post first, so that it neither counts wrong nor
meets a deletion, which takes the post's lock before its likes' and comments', in a deadlock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pulse_sdk.contract.domain import (
    PostCreated,
    PostCreatedEvent,
    PostDeleted,
    PostDeletedEvent,
    PostLiked,
    PostLikedEvent,
)
from pulse_sdk.contract.internal import ImportPost
from pulse_sdk.contract.posts import Like, Post
from services.kit import outbox
from services.kit.db import Database, Params, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

NEWEST = UUID(int=(1 << 128) - 1)
"""Sorts after every id: where a list starts that has no cursor."""

_END = datetime(9999, 1, 1, tzinfo=UTC)

_POPULAR_DAYS = 7
_POPULAR_CANDIDATES = 20_000
_POPULAR = 100

_POST = "id, author_id, text, like_count, comment_count, created_at, edited_at, version"
"""The fields of `Stored`, in its order."""

_PUBLIC = """NOT EXISTS (
        SELECT FROM authors WHERE user_id = posts.author_id AND visibility = 'private'
    )"""
LOCKED = "locked AS (SELECT id FROM posts WHERE id = %(post_id)s FOR NO KEY UPDATE)"

_INSERT = Query(
    "post_insert",
    f"""WITH made AS (
        INSERT INTO posts (id, author_id, text, created_at, idempotency_key)
        VALUES (%(id)s, %(author_id)s, %(text)s, %(created_at)s, %(key)s)
        ON CONFLICT ON CONSTRAINT posts_idempotency DO NOTHING RETURNING id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT id FROM made""",
)
_BY_KEY = Query(
    "post_by_key",
    f"SELECT {_POST} FROM posts WHERE author_id = %(author_id)s AND idempotency_key = %(key)s",
)
_BY_ID = Query("post_by_id", f"SELECT {_POST} FROM posts WHERE id = %(id)s")
_BY_IDS = Query("posts_by_ids", f"SELECT {_POST} FROM posts WHERE id = ANY(%(ids)s)")
_NEWEST_OF_ALL = Query(
    "posts_newest",
    f"""SELECT {_POST} FROM posts
    WHERE id < %(before)s AND (author_id = %(reader_id)s OR {_PUBLIC})
    ORDER BY id DESC LIMIT %(count)s""",
)
_NEWEST_BY_AUTHOR = Query(
    "posts_by_author",
    f"""SELECT {_POST} FROM posts WHERE author_id = %(author_id)s AND id < %(before)s
    ORDER BY id DESC LIMIT %(count)s""",
)
# Votes against age to a power, as Hacker News ranks. Only posts that were ever liked or commented
# on are looked at, the newest first and boundedly many, so that the cost has a limit.
_POPULAR_IDS = Query(
    "posts_popular",
    f"""SELECT id FROM (
        SELECT id, like_count + 2 * comment_count AS votes,
            greatest(extract(epoch FROM now() - created_at), 0) / 3600 AS hours
        FROM posts WHERE engaged AND id > %(since)s AND {_PUBLIC}
        ORDER BY id DESC LIMIT {_POPULAR_CANDIDATES}
    ) AS recent
    WHERE votes > 0 ORDER BY votes / power(hours + 2, 1.5) DESC, id DESC LIMIT {_POPULAR}""",
)
_EDIT = Query(
    "post_edit",
    f"""UPDATE posts SET text = %(text)s, edited_at = %(edited_at)s, version = version + 1
    WHERE id = %(id)s AND (%(versions)s::int[] IS NULL OR version = ANY(%(versions)s::int[]))
    RETURNING {_POST}""",
)
_DELETE = Query(
    "post_delete",
    f"""WITH deleted AS (DELETE FROM posts WHERE id = %(post_id)s RETURNING id),
    event AS ({outbox.INSERT} FROM deleted)
    SELECT id FROM deleted""",
)
_LIKE = Query(
    "post_like",
    f"""WITH {LOCKED}, liked AS (
        INSERT INTO likes (post_id, user_id) SELECT id, %(user_id)s FROM locked
        ON CONFLICT DO NOTHING RETURNING post_id
    ), counted AS (
        UPDATE posts SET like_count = like_count + 1, engaged = true
        FROM liked WHERE id = liked.post_id
    ), event AS ({outbox.INSERT} FROM liked)
    SELECT EXISTS (SELECT FROM liked) FROM locked""",
)
_UNLIKE = Query(
    "post_unlike",
    f"""WITH {LOCKED}, unliked AS (
        DELETE FROM likes USING locked WHERE post_id = locked.id AND user_id = %(user_id)s
        RETURNING post_id
    ), counted AS (
        UPDATE posts SET like_count = like_count - 1 FROM unliked WHERE id = unliked.post_id
    )
    SELECT EXISTS (SELECT FROM unliked) FROM locked""",
)
_LIKED = Query(
    "post_liked", "SELECT FROM likes WHERE post_id = %(post_id)s AND user_id = %(user_id)s"
)
_LIKES = Query(
    "likes_of_post",
    """SELECT user_id, created_at FROM likes
    WHERE post_id = %(post_id)s AND (created_at, user_id) < (%(liked_at)s, %(user_id)s)
    ORDER BY created_at DESC, user_id DESC LIMIT %(count)s""",
)
_IMPORT = Query(
    "post_import",
    f"""WITH given AS (
        SELECT * FROM unnest(
            %(ids)s::uuid[], %(author_ids)s::uuid[], %(texts)s::text[],
            %(created_ats)s::timestamptz[], %(event_ids)s::uuid[], %(envelopes)s::text[]
        ) AS given (id, author_id, text, created_at, event_id, envelope)
    ), made AS (
        INSERT INTO posts (id, author_id, text, created_at)
        SELECT id, author_id, text, created_at FROM given ON CONFLICT DO NOTHING RETURNING id
    ), event AS (
        INSERT INTO outbox (id, type, envelope)
        SELECT event_id, 'post.created', {outbox.timed("envelope")}
        FROM given JOIN made USING (id)
    )
    SELECT count(*) FROM made""",
)


class Stored(NamedTuple):
    """A `Post` without its author's names, where making a model would cost most of a request."""

    id: UUID
    author_id: UUID
    text: str
    like_count: int
    comment_count: int
    created_at: datetime
    edited_at: datetime | None
    version: int


class PostStore:
    """Reads and writes posts, likes and comments, and the events that tell of them."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, author_id: UUID, text: str, key: str | None) -> tuple[Stored, bool]:
        """Make a post, or find the one made with this key; whether it was made now.

        Raises:
            ServiceError: 404, the post made with this key was deleted at this moment.
        """
        post = Stored(new_id(), author_id, text, 0, 0, datetime.now(UTC), None, 1)
        event = envelope(
            PostCreatedEvent, "posts", PostCreated(post_id=post.id, author_id=author_id)
        )
        params = {**post._asdict(), "key": key}
        if await self._database.row(_INSERT, with_event(params, event)) is not None:
            self._outbox.wake()
            return post, True
        return Stored._make(_present(await self._database.row(_BY_KEY, params))), False

    async def by_id(self, post_id: UUID) -> Post:
        """A post.

        Raises:
            ServiceError: 404.
        """
        return _post(_present(await self._database.row(_BY_ID, {"id": post_id})))

    async def by_ids(self, ids: Sequence[UUID]) -> list[Stored]:
        """The posts that exist, in no order."""
        return list(map(Stored._make, await self._database.rows(_BY_IDS, {"ids": list(ids)})))

    async def newest(self, reader_id: UUID, before: UUID | None, count: int) -> list[Stored]:
        """Posts of public authors and the reader's own that are older than an id, newest first."""
        params = {"reader_id": reader_id, "before": before or NEWEST, "count": count}
        return list(map(Stored._make, await self._database.read(_NEWEST_OF_ALL, params)))

    async def by_author(self, author_id: UUID, before: UUID | None, count: int) -> list[Stored]:
        """Posts of an author older than an id, newest first."""
        params = {"author_id": author_id, "before": before or NEWEST, "count": count}
        return list(map(Stored._make, await self._database.read(_NEWEST_BY_AUTHOR, params)))

    async def popular(self) -> list[UUID]:
        """The most popular recent posts of public authors, the most popular first."""
        since = datetime.now(UTC) - timedelta(days=_POPULAR_DAYS)
        params = {"since": UUID(int=int(since.timestamp() * 1000) << 80)}  # a UUIDv7 begins so
        return [post_id for (post_id,) in await self._database.rows(_POPULAR_IDS, params)]

    async def edit(self, post_id: UUID, text: str, versions: Collection[int] | None) -> Post:
        """Change a post's text, if its version is one of these, when any are given.

        Raises:
            ServiceError: 404, or 412 `stale`.
        """
        params = {
            "id": post_id,
            "text": text,
            "edited_at": datetime.now(UTC),
            "versions": None if versions is None else list(versions),
        }
        if (row := await self._database.row(_EDIT, params)) is not None:
            return _post(row)
        await self.by_id(post_id)
        raise ServiceError.stale("post")

    async def delete(self, post: Post) -> None:
        """Delete a post with its likes and comments.

        Raises:
            ServiceError: 404.
        """
        data = PostDeleted(post_id=post.id, author_id=post.author_id)
        await self._change(_DELETE, {"post_id": post.id}, envelope(PostDeletedEvent, "posts", data))

    async def like(self, post: Post, user_id: UUID) -> bool:
        """Add a user's like; whether there was none.

        Raises:
            ServiceError: 404.
        """
        data = PostLiked(post_id=post.id, author_id=post.author_id, liked_by=user_id)
        params = {"post_id": post.id, "user_id": user_id}
        return await self._change(_LIKE, params, envelope(PostLikedEvent, "posts", data))

    async def unlike(self, post_id: UUID, user_id: UUID) -> bool:
        """Take a user's like away; whether there was one.

        Raises:
            ServiceError: 404.
        """
        params = {"post_id": post_id, "user_id": user_id}
        return bool(_present(await self._database.row(_UNLIKE, params))[0])

    async def liked(self, post_id: UUID, user_id: UUID) -> bool:
        """Whether a user likes a post."""
        params = {"post_id": post_id, "user_id": user_id}
        return await self._database.row(_LIKED, params) is not None

    async def likes(self, post_id: UUID, before: Like | None, count: int) -> list[Like]:
        """Likes of a post that came before another, latest first."""
        params = {
            "post_id": post_id,
            "liked_at": _END if before is None else before.liked_at,
            "user_id": NEWEST if before is None else before.user_id,
            "count": count,
        }
        rows = await self._database.read(_LIKES, params)
        return [Like(user_id=user_id, liked_at=liked_at) for user_id, liked_at in rows]

    async def import_posts(self, posts: Sequence[ImportPost]) -> int:
        """Add posts that are not there yet; how many were added."""
        given = list({post.id: post for post in posts}.values())
        events = [
            envelope(
                PostCreatedEvent, "posts", PostCreated(post_id=post.id, author_id=post.author_id)
            )
            for post in given
        ]
        params: dict[str, Any] = {
            "ids": [post.id for post in given],
            "author_ids": [post.author_id for post in given],
            "texts": [post.text for post in given],
            "created_ats": [post.created_at for post in given],
            "event_ids": [event.id for event in events],
            "envelopes": [event.model_dump_json(exclude_none=True) for event in events],
        }
        (imported,) = _present(await self._database.row(_IMPORT, params))
        self._outbox.wake()
        return int(imported)

    async def _change(
        self,
        query: Query,
        params: Params,
        event: PostDeletedEvent | PostLikedEvent,
    ) -> bool:
        """Run a change of a post that tells of itself; whether it changed anything."""
        (changed,) = _present(await self._database.row(query, with_event(params, event)))
        if changed:
            self._outbox.wake()
        return bool(changed)


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("post")
    return row


def _post(row: Row) -> Post:
    return Post(**Stored._make(row)._asdict())
