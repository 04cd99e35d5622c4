"""Follows, blocks, recommendations and the feed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import Page, RequestModel, ResponseModel, Timestamp
from pulse_sdk.contract.posts import Post


class Follow(ResponseModel):
    """The other side of a follow and since when."""

    user_id: UUID
    followed_at: Timestamp


class Counts(ResponseModel):
    """How many follow someone, and how many they follow."""

    followers: int
    following: int


class Relation(ResponseModel):
    """What is between the caller and someone else."""

    following: bool
    """The caller follows them."""
    followed_by: bool
    """They follow the caller."""
    blocked: bool
    """The caller blocks them. Who blocks the caller is not told."""


class Block(ResponseModel):
    """Someone whom the caller blocks and since when."""

    user_id: UUID
    blocked_at: Timestamp


class RecommendationsQuery(RequestModel):
    """How many recommendations are wanted."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Recommendation(ResponseModel):
    """Someone whom the caller does not follow yet."""

    user_id: UUID
    common: int
    """How many of those whom the caller follows follow them."""


class Recommendations(ResponseModel):
    """People to follow, those with most in common first."""

    items: list[Recommendation]


class FeedPage(Page[Post]):
    """Posts of those the caller follows, newest first.

    `degraded` is true when post bodies could not be had: `items` then lacks posts.
    """

    degraded: bool = False
