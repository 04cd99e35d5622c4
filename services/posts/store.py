"""Posts, likes and comments in PostgreSQL.

Whatever changes likes or comments locks their post first, so that it neither counts wrong nor
meets a deletion, which takes the post's lock before its likes' and comments', in a deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pulse_sdk.contract.domain import (
    CommentCreated,
    CommentCreatedEvent,
    PostCreated,
    PostCreatedEvent,
    PostDeleted,
    PostDeletedEvent,
    PostLiked,
    PostLikedEvent,
)
from pulse_sdk.contract.internal import ImportPost
from pulse_sdk.contract.posts import Comment, Post
from services.kit import outbox
from services.kit.db import Database, Params, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_NEWEST = UUID(int=(1 << 128) - 1)
"""Sorts after every id: where a list starts that has no cursor."""

_POST = "id, author_id, text, like_count, comment_count, created_at"
_COMMENT = "id, post_id, author_id, text, created_at"
_LOCKED = "locked AS (SELECT id FROM posts WHERE id = %(post_id)s FOR NO KEY UPDATE)"

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
    f"SELECT {_POST} FROM posts WHERE id < %(before)s ORDER BY id DESC LIMIT %(count)s",
)
_NEWEST_BY_AUTHOR = Query(
    "posts_by_author",
    f"""SELECT {_POST} FROM posts WHERE author_id = %(author_id)s AND id < %(before)s
    ORDER BY id DESC LIMIT %(count)s""",
)
_DELETE = Query(
    "post_delete",
    f"""WITH deleted AS (DELETE FROM posts WHERE id = %(post_id)s RETURNING id),
    event AS ({outbox.INSERT} FROM deleted)
    SELECT id FROM deleted""",
)
_LIKE = Query(
    "post_like",
    f"""WITH {_LOCKED}, liked AS (
        INSERT INTO likes (post_id, user_id) SELECT id, %(user_id)s FROM locked
        ON CONFLICT DO NOTHING RETURNING post_id
    ), counted AS (
        UPDATE posts SET like_count = like_count + 1 FROM liked WHERE id = liked.post_id
    ), event AS ({outbox.INSERT} FROM liked)
    SELECT EXISTS (SELECT FROM liked) FROM locked""",
)
_UNLIKE = Query(
    "post_unlike",
    f"""WITH {_LOCKED}, unliked AS (
        DELETE FROM likes USING locked WHERE post_id = locked.id AND user_id = %(user_id)s
        RETURNING post_id
    ), counted AS (
        UPDATE posts SET like_count = like_count - 1 FROM unliked WHERE id = unliked.post_id
    )
    SELECT EXISTS (SELECT FROM unliked) FROM locked""",
)
_COMMENT_INSERT = Query(
    "comment_insert",
    f"""WITH {_LOCKED}, made AS (
        INSERT INTO comments (id, post_id, author_id, text, created_at, idempotency_key)
        SELECT %(id)s, id, %(author_id)s, %(text)s, %(created_at)s, %(key)s FROM locked
        ON CONFLICT ON CONSTRAINT comments_idempotency DO NOTHING RETURNING post_id
    ), counted AS (
        UPDATE posts SET comment_count = comment_count + 1 FROM made WHERE id = made.post_id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT EXISTS (SELECT FROM made) FROM locked""",
)
_COMMENT_BY_KEY = Query(
    "comment_by_key",
    f"""SELECT {_COMMENT} FROM comments WHERE post_id = %(post_id)s
    AND author_id = %(author_id)s AND idempotency_key = %(key)s""",
)
_COMMENTS = Query(
    "comments_of_post",
    f"""SELECT {_COMMENT} FROM comments WHERE post_id = %(post_id)s AND id < %(before)s
    ORDER BY id DESC LIMIT %(count)s""",
)
_IMPORT = Query(
    "post_import",
    """WITH given AS (
        SELECT * FROM unnest(
            %(ids)s::uuid[], %(author_ids)s::uuid[], %(texts)s::text[],
            %(created_ats)s::timestamptz[], %(event_ids)s::uuid[], %(envelopes)s::text[]
        ) AS given (id, author_id, text, created_at, event_id, envelope)
    ), made AS (
        INSERT INTO posts (id, author_id, text, created_at)
        SELECT id, author_id, text, created_at FROM given ON CONFLICT DO NOTHING RETURNING id
    ), event AS (
        INSERT INTO outbox (id, type, envelope)
        SELECT event_id, 'post.created', envelope FROM given JOIN made USING (id)
    )
    SELECT count(*) FROM made""",
)


class PostStore:
    """Reads and writes posts, likes and comments, and the events that tell of them."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, author_id: UUID, text: str, key: str | None) -> tuple[Post, bool]:
        """Make a post, or find the one made with this key; whether it was made now.

        Raises:
            ServiceError: 404, the post made with this key was deleted at this moment.
        """
        post = Post(
            id=new_id(),
            author_id=author_id,
            text=text,
            like_count=0,
            comment_count=0,
            created_at=datetime.now(UTC),
        )
        event = envelope(
            PostCreatedEvent, "posts", PostCreated(post_id=post.id, author_id=author_id)
        )
        params = {**_params(post), "key": key}
        if await self._database.row(_INSERT, with_event(params, event)) is not None:
            self._outbox.wake()
            return post, True
        return _post(_present(await self._database.row(_BY_KEY, params))), False

    async def by_id(self, post_id: UUID) -> Post:
        """A post.

        Raises:
            ServiceError: 404.
        """
        return _post(_present(await self._database.row(_BY_ID, {"id": post_id})))

    async def by_ids(self, ids: Sequence[UUID]) -> list[Post]:
        """The posts that exist, in no order."""
        return [_post(row) for row in await self._database.rows(_BY_IDS, {"ids": list(ids)})]

    async def newest(self, author_id: UUID | None, before: UUID | None, count: int) -> list[Post]:
        """Posts older than an id, newest first, of one author when one is given."""
        query = _NEWEST_OF_ALL if author_id is None else _NEWEST_BY_AUTHOR
        params = {"author_id": author_id, "before": before or _NEWEST, "count": count}
        return [_post(row) for row in await self._database.rows(query, params)]

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

    async def comment(
        self, post: Post, author_id: UUID, text: str, key: str | None
    ) -> tuple[Comment, bool]:
        """Add a comment, or find the one made with this key; whether it was made now.

        Raises:
            ServiceError: 404.
        """
        comment = Comment(
            id=new_id(),
            post_id=post.id,
            author_id=author_id,
            text=text,
            created_at=datetime.now(UTC),
        )
        data = CommentCreated(
            comment_id=comment.id,
            post_id=post.id,
            post_author_id=post.author_id,
            author_id=author_id,
        )
        params = {**_params(comment), "key": key}
        if await self._change(
            _COMMENT_INSERT, params, envelope(CommentCreatedEvent, "posts", data)
        ):
            return comment, True
        return _comment(_present(await self._database.row(_COMMENT_BY_KEY, params))), False

    async def comments(self, post_id: UUID, before: UUID | None, count: int) -> list[Comment]:
        """Comments under a post older than an id, newest first."""
        params = {"post_id": post_id, "before": before or _NEWEST, "count": count}
        return [_comment(row) for row in await self._database.rows(_COMMENTS, params)]

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
        event: PostDeletedEvent | PostLikedEvent | CommentCreatedEvent,
    ) -> bool:
        """Run a change of a post that tells of itself; whether it changed anything."""
        (changed,) = _present(await self._database.row(query, with_event(params, event)))
        if changed:
            self._outbox.wake()
        return bool(changed)


def _params(made: Post | Comment) -> dict[str, object]:
    return dict(made)


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("post")
    return row


def _post(row: Row) -> Post:
    post_id, author_id, text, like_count, comment_count, created_at = row
    return Post(
        id=post_id,
        author_id=author_id,
        text=text,
        like_count=like_count,
        comment_count=comment_count,
        created_at=created_at,
    )


def _comment(row: Row) -> Comment:
    comment_id, post_id, author_id, text, created_at = row
    return Comment(
        id=comment_id, post_id=post_id, author_id=author_id, text=text, created_at=created_at
    )
