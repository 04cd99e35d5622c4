"""Follows and the feed."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import Page, ResponseModel, Timestamp
from pulse_sdk.contract.posts import Post


class Follow(ResponseModel):
    """The other side of a follow and since when."""

    user_id: UUID
    followed_at: Timestamp


class FeedPage(Page[Post]):
    """Posts of those the caller follows, newest first.

    `degraded` is true when post bodies could not be had: `items` then lacks posts.
    """

    degraded: bool = False
