"""What services and the operator's tools tell a service below `/internal`, never over the gateway.

Imports are for seeding and migration: they are idempotent by id, and tell people nothing
(no welcome, no follower notification).
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from pulse_sdk.contract.common import Page, RequestModel, ResponseModel, Secret
from pulse_sdk.contract.notifications import Notification
from pulse_sdk.contract.posts import Post, PostText
from pulse_sdk.contract.users import DisplayName, Email, User, Username

MAX_BATCH = 1000
"""Most rows in one import (keeps a body below the services' size limit)."""


class PostsByIds(RequestModel):
    """Which posts are wanted."""

    ids: Annotated[list[UUID], Field(max_length=100)]


class PostBatch(ResponseModel):
    """The posts that exist, in the order asked for."""

    private_author_ids: list[UUID] = Field(default_factory=list)
    """Those of their authors whose posts are for followers alone, which the caller looks after.

    It comes first, so that a caller sees at once when all posts are for everyone.
    """
    items: list[Post]


class UsersByIds(RequestModel):
    """Whose profiles are wanted."""

    ids: Annotated[list[UUID], Field(max_length=100)]


class UserBatch(ResponseModel):
    """The profiles that exist, in the order asked for."""

    items: list[User]


class FollowersQuery(RequestModel):
    """Which part of someone's followers is wanted."""

    limit: Annotated[int, Field(ge=1, le=MAX_BATCH)] = MAX_BATCH
    cursor: Annotated[str, Field(max_length=200)] | None = None
    """`next_cursor` of the page before; opaque."""


class FollowersPage(Page[UUID]):
    """Ids of someone's followers, in an order that stays while it is read."""


class FollowStatus(ResponseModel):
    """Whether one person follows another."""

    follows: bool


class ShowNotification(RequestModel):
    """A notification and whom it is for."""

    user_id: UUID
    notification: Notification


class ShowNotifications(RequestModel):
    """What is to be shown at once to those who are connected."""

    items: Annotated[list[ShowNotification], Field(max_length=MAX_BATCH)]


class Shown(ResponseModel):
    """The notifications were sent on; how many people are connected is not known."""


class ImportUser(RequestModel):
    """An account to import."""

    id: UUID
    email: Email
    username: Username
    display_name: DisplayName


class ImportUsers(RequestModel):
    """Accounts that share one password."""

    password: Annotated[Secret, Field(min_length=8, max_length=128)]
    users: Annotated[list[ImportUser], Field(max_length=MAX_BATCH)]


class ImportPost(RequestModel):
    """A post to import. Its `post.created` is published: feeds are built from that."""

    id: UUID
    author_id: UUID
    text: PostText
    created_at: AwareDatetime


class ImportAuthor(RequestModel):
    """The name of someone who writes posts. What an event told of them already is not undone."""

    id: UUID
    username: Username
    display_name: DisplayName


class ImportPosts(RequestModel):
    """Posts to import, and names of authors."""

    posts: Annotated[list[ImportPost], Field(default_factory=list, max_length=MAX_BATCH)]
    authors: Annotated[list[ImportAuthor], Field(default_factory=list, max_length=MAX_BATCH)]


class ImportFollow(RequestModel):
    """One person following another."""

    follower_id: UUID
    followee_id: UUID


class ImportFollows(RequestModel):
    """Follows to import."""

    follows: Annotated[list[ImportFollow], Field(max_length=MAX_BATCH)]


class Imported(ResponseModel):
    """How many rows were new."""

    imported: int
