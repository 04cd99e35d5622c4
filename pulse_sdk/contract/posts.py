"""Posts, likes and comments."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import PageQuery, RequestModel, ResponseModel, Text, Timestamp

PostText = Annotated[Text, Field(min_length=1, max_length=500)]


class CreatePost(RequestModel):
    """A new post, 1 to 500 characters."""

    text: PostText


class PostsQuery(PageQuery):
    """Newest posts, of one author when `author_id` is given."""

    author_id: UUID | None = None


class Post(ResponseModel):
    """A post with its counts."""

    id: UUID
    author_id: UUID
    text: str
    like_count: int
    comment_count: int
    created_at: Timestamp


class CreateComment(RequestModel):
    """A new comment, 1 to 500 characters."""

    text: PostText


class Comment(ResponseModel):
    """A comment under a post."""

    id: UUID
    post_id: UUID
    author_id: UUID
    text: str
    created_at: Timestamp
