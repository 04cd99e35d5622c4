"""Posts, likes and comments."""

from __future__ import annotations

from types import NoneType

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.posts import Comment, CreateComment, CreatePost, Post, PostsQuery
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
    def comment(
        self, post_id: Id, text: str, *, idempotency_key: str | None = None
    ) -> Call[Comment]:
        """Comment with 1 to 500 characters, once for each `idempotency_key`."""
        return Call(
            "POST",
            ("posts", post_id, "comments"),
            Comment,
            body=CreateComment(text=text),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def comments(
        self, post_id: Id, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Comment]]:
        """The comments under a post."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("posts", post_id, "comments"), Page[Comment], query_of(query))
