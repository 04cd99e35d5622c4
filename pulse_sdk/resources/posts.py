"""Posts, likes and comments."""

from __future__ import annotations

from types import NoneType

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.posts import (
    Comment,
    CreateComment,
    CreatePost,
    EditPost,
    Like,
    LikeStatus,
    PopularQuery,
    Post,
    PostsQuery,
)
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Posts(Resource[ClientT_co]):
    """Posts, likes and comments."""

    @endpoint
    def create(self, text: str, *, idempotency_key: str | None = None) -> Call[Post]:
        """Post 1 to 500 characters. The same `idempotency_key` never makes a second post."""
        return Call(
            "POST",
            ("posts",),
            Post,
            body=CreatePost(text=text),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def list(
        self, *, author_id: Id | None = None, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Post]]:
        """The newest posts, of one author when `author_id` is given."""
        query = PostsQuery(author_id=author_id, limit=limit, cursor=cursor)
        return Call("GET", ("posts",), Page[Post], query_of(query))

    @endpoint
    def get(self, post_id: Id) -> Call[Post]:
        """One post."""
        return Call("GET", ("posts", post_id), Post)

    @listing
    def popular(self, *, limit: int = 20) -> Call[Page[Post]]:
        """The most popular recent posts, one page of at most 100; ranked anew each half hour."""
        return Call("GET", ("posts", "popular"), Page[Post], query_of(PopularQuery(limit=limit)))

    @endpoint
    def edit(self, post_id: Id, text: str, *, version: int | None = None) -> Call[Post]:
        """Change a post of one's own.

        With the `version` that was read, a post that has changed since is left alone: Conflict.
        """
        return Call("PATCH", ("posts", post_id), Post, body=EditPost(text=text), version=version)

    @endpoint
    def delete(self, post_id: Id) -> Call[None]:
        """Delete a post of one's own."""
        return Call("DELETE", ("posts", post_id), NoneType)

    @endpoint
    def like(self, post_id: Id) -> Call[None]:
        """Like a post; liking it again changes nothing."""
        return Call("PUT", ("posts", post_id, "like"), NoneType)

    @endpoint
    def unlike(self, post_id: Id) -> Call[None]:
        """Take a like back."""
        return Call("DELETE", ("posts", post_id, "like"), NoneType)

    @endpoint
    def liked(self, post_id: Id) -> Call[LikeStatus]:
        """Whether the caller likes a post."""
        return Call("GET", ("posts", post_id, "like"), LikeStatus)

    @listing
    def likes(self, post_id: Id, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Like]]:
        """Who likes a post, latest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("posts", post_id, "likes"), Page[Like], query_of(query))

    @endpoint
    def comment(
        self,
        post_id: Id,
        text: str,
        *,
        parent_id: Id | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Comment]:
        """Comment with 1 to 500 characters, once for each `idempotency_key`.

        With `parent_id` it is a reply to that comment, at most `MAX_REPLY_DEPTH` deep.
        """
        return Call(
            "POST",
            ("posts", post_id, "comments"),
            Comment,
            body=CreateComment(text=text, parent_id=parent_id),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def comments(
        self, post_id: Id, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Comment]]:
        """The comments on a post itself, newest first; replies are listed by `replies`."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("posts", post_id, "comments"), Page[Comment], query_of(query))

    @listing
    def replies(
        self, post_id: Id, comment_id: Id, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Comment]]:
        """The replies to a comment, newest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        segments = ("posts", post_id, "comments", comment_id, "replies")
        return Call("GET", segments, Page[Comment], query_of(query))

    @endpoint
    def delete_comment(self, post_id: Id, comment_id: Id) -> Call[None]:
        """Delete a comment of one's own or on one's own post, with all replies below it."""
        return Call("DELETE", ("posts", post_id, "comments", comment_id), NoneType)
