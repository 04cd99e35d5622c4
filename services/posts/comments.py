"""Comments in PostgreSQL, and replies to them.

A change locks its post first, as all do; so what a deletion does not see of a thread can only have
been committed while it waited for the lock. Then the replies' foreign key refuses it, and it is
tried again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.domain import CommentCreated, CommentCreatedEvent
from pulse_sdk.contract.posts import MAX_REPLY_DEPTH, Comment, Post
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event
from services.posts.store import LOCKED, NEWEST

_COMMENT = "id, post_id, author_id, text, created_at, parent_id, depth, reply_count"

_INSERT = Query(
    "comment_insert",
    f"""WITH {LOCKED}, made AS (
        INSERT INTO comments
            (id, post_id, author_id, text, created_at, parent_id, depth, idempotency_key)
        SELECT %(id)s, id, %(author_id)s, %(text)s, %(created_at)s, %(parent_id)s, %(depth)s,
            %(key)s FROM locked
        ON CONFLICT ON CONSTRAINT comments_idempotency DO NOTHING RETURNING post_id, parent_id
    ), counted AS (
        UPDATE posts SET comment_count = comment_count + 1, engaged = true
        FROM made WHERE id = made.post_id
    ), replied AS (
        UPDATE comments SET reply_count = reply_count + 1 FROM made
        WHERE comments.post_id = made.post_id AND comments.id = made.parent_id
    ), event AS ({outbox.INSERT} FROM made)
    SELECT EXISTS (SELECT FROM made) FROM locked""",
)
_BY_KEY = Query(
    "comment_by_key",
    f"""SELECT {_COMMENT} FROM comments WHERE post_id = %(post_id)s
    AND author_id = %(author_id)s AND idempotency_key = %(key)s""",
)
_BY_ID = Query(
    "comment_by_id",
    f"SELECT {_COMMENT} FROM comments WHERE post_id = %(post_id)s AND id = %(comment_id)s",
)
_OF_POST = Query(
    "comments_of_post",
    f"""SELECT {_COMMENT} FROM comments
    WHERE post_id = %(post_id)s AND parent_id IS NULL AND id < %(before)s
    ORDER BY id DESC LIMIT %(count)s""",
)
_REPLIES = Query(
    "comment_replies",
    f"""SELECT {_COMMENT} FROM comments
    WHERE post_id = %(post_id)s AND parent_id = %(parent_id)s AND id < %(before)s
    ORDER BY id DESC LIMIT %(count)s""",
)
_DELETE = Query(
    "comment_delete",
    f"""WITH RECURSIVE {LOCKED}, thread AS (
        SELECT comments.id, parent_id FROM comments JOIN locked ON post_id = locked.id
        WHERE comments.id = %(comment_id)s
        UNION ALL
        SELECT comments.id, comments.parent_id FROM comments
        JOIN thread ON comments.parent_id = thread.id
        WHERE post_id = %(post_id)s
    ), deleted AS (
        DELETE FROM comments USING thread
        WHERE post_id = %(post_id)s AND comments.id = thread.id
        RETURNING comments.id, comments.parent_id
    ), counted AS (
        UPDATE posts SET comment_count = comment_count - (SELECT count(*) FROM deleted)
        WHERE id = %(post_id)s AND EXISTS (SELECT FROM deleted)
    ), replied AS (
        UPDATE comments SET reply_count = reply_count - 1 FROM deleted
        WHERE post_id = %(post_id)s AND deleted.id = %(comment_id)s
            AND comments.id = deleted.parent_id
    )
    SELECT EXISTS (SELECT FROM deleted) FROM locked""",
)
_DELETE_ATTEMPTS = 5


class CommentStore:
    """Reads and writes comments, and the event that tells of a new one."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(
        self, post: Post, author_id: UUID, text: str, parent: Comment | None, key: str | None
    ) -> tuple[Comment, bool]:
        """Add a comment, or find the one made with this key; whether it was made now.

        Raises:
            ServiceError: 404 when the post or the comment replied to is gone; 409
                `reply_too_deep`.
        """
        depth = 0 if parent is None else parent.depth + 1
        if depth > MAX_REPLY_DEPTH:
            detail = f"Replies are nested {MAX_REPLY_DEPTH} deep at most; reply further up."
            raise ServiceError.conflict("reply_too_deep", detail)
        comment = Comment(
            id=new_id(),
            post_id=post.id,
            author_id=author_id,
            text=text,
            created_at=datetime.now(UTC),
            parent_id=None if parent is None else parent.id,
            depth=depth,
        )
        data = CommentCreated(
            comment_id=comment.id,
            post_id=post.id,
            post_author_id=post.author_id,
            author_id=author_id,
            parent_author_id=None if parent is None else parent.author_id,
        )
        params = {**dict(comment), "key": key}
        event = envelope(CommentCreatedEvent, "posts", data)
        try:
            row = await self._database.row(_INSERT, with_event(params, event))
        except psycopg2.errors.ForeignKeyViolation:
            raise ServiceError.not_found("comment") from None
        (made,) = _present(row, "post")
        if made:
            self._outbox.wake()
            return comment, True
        return _comment(_present(await self._database.row(_BY_KEY, params), "comment")), False

    async def by_id(self, post_id: UUID, comment_id: UUID) -> Comment:
        """A comment under a post.

        Raises:
            ServiceError: 404.
        """
        params = {"post_id": post_id, "comment_id": comment_id}
        return _comment(_present(await self._database.row(_BY_ID, params), "comment"))

    async def newest(
        self, post_id: UUID, parent_id: UUID | None, before: UUID | None, count: int
    ) -> list[Comment]:
        """Comments on a post itself, or replies to one, older than an id, newest first."""
        query = _OF_POST if parent_id is None else _REPLIES
        params = {
            "post_id": post_id,
            "parent_id": parent_id,
            "before": before or NEWEST,
            "count": count,
        }
        return [_comment(row) for row in await self._database.read(query, params)]

    async def delete(self, post_id: UUID, comment_id: UUID) -> None:
        """Delete a comment with all replies below it.

        Raises:
            ServiceError: 404; 409 `thread_busy`, replies came faster than it could be deleted.
        """
        params = {"post_id": post_id, "comment_id": comment_id}
        for _ in range(_DELETE_ATTEMPTS):
            try:
                (deleted,) = _present(await self._database.row(_DELETE, params), "post")
            except psycopg2.errors.ForeignKeyViolation:
                continue
            if not deleted:
                raise ServiceError.not_found("comment")
            return
        raise ServiceError.conflict("thread_busy", "Replies are just being written; try again.")


def _present(row: Row | None, what: str) -> Row:
    if row is None:
        raise ServiceError.not_found(what)
    return row


def _comment(row: Row) -> Comment:
    comment_id, post_id, author_id, text, created_at, parent_id, depth, reply_count = row
    return Comment(
        id=comment_id,
        post_id=post_id,
        author_id=author_id,
        text=text,
        created_at=created_at,
        parent_id=parent_id,
        depth=depth,
        reply_count=reply_count,
    )
