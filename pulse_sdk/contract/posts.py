"""Posts, likes and comments."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import PageQuery, RequestModel, ResponseModel, Text, Timestamp

PostText = Annotated[Text, Field(min_length=1, max_length=500)]

MAX_REPLY_DEPTH = 5
"""How deep replies may be nested: a comment under a post has depth 0, a reply to it depth 1."""


class CreatePost(RequestModel):
    """A new post, 1 to 500 characters."""

    text: PostText


class EditPost(RequestModel):
    """The text that a post shall have, 1 to 500 characters."""

    text: PostText


class PostsQuery(PageQuery):
    """Newest posts, of one author when `author_id` is given."""

    author_id: UUID | None = None


class PopularQuery(RequestModel):
    """How many of the popular posts are wanted."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PostAuthor(ResponseModel):
    """What a person is called."""

    username: str
    display_name: str


class Post(ResponseModel):
    """A post with its counts."""

    id: UUID
    author_id: UUID
    text: str
    like_count: int
    comment_count: int
    """Comments with all replies to them."""
    created_at: Timestamp
    edited_at: Timestamp | None = None
    """When its text was changed last."""
    version: int = 1
    """Grows with every edit; as an `ETag` it also guards one (`If-Match`)."""
    author: PostAuthor | None = None
    """The author's names, null as long as they are not known."""


class Like(ResponseModel):
    """Someone's like of a post."""

    user_id: UUID
    liked_at: Timestamp
    user: PostAuthor | None = None
    """Their names, null as long as they are not known."""


class LikeStatus(ResponseModel):
    """Whether the caller likes a post."""

    liked: bool


class CreateComment(RequestModel):
    """A new comment, 1 to 500 characters; a reply when `parent_id` names another comment."""

    text: PostText
    parent_id: UUID | None = None


class Comment(ResponseModel):
    """A comment under a post, or a reply to another comment there."""

    id: UUID
    post_id: UUID
    author_id: UUID
    text: str
    created_at: Timestamp
    parent_id: UUID | None = None
    """The comment that this one replies to."""
    depth: int = 0
    """0 for a comment on the post itself, 1 for a reply to such a one, and so on."""
    reply_count: int = 0
    """Direct replies."""
    author: PostAuthor | None = None
    """The author's names, null as long as they are not known."""
