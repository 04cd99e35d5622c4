"""Notifications."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pulse_sdk.contract.common import ResponseModel, Timestamp


class Notification(ResponseModel):
    """Something that happened and concerns the caller."""

    id: UUID
    kind: str
    """`welcome`, `follower`, `like`, `comment`, `message`, `event` or `rsvp`; more may come."""
    actor_id: UUID | None
    """Who caused it; null when the platform did."""
    subject: dict[str, Any]
    """What it is about, by kind: `post_id`, `comment_id`, `conversation_id`, `message_id`,
    `event_id`; of an `rsvp` also its `answer`."""
    read: bool
    created_at: Timestamp


class UnreadCount(ResponseModel):
    """How many notifications are unread."""

    unread: int
