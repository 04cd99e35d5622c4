"""What each domain event tells to whom. Nobody is told of what they did themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python

from pulse_sdk.contract.domain import (
    CommentCreatedEvent,
    DomainEvent,
    EventCancelledEvent,
    EventCreatedEvent,
    EventNews,
    EventPromotedEvent,
    EventReminderEvent,
    EventRsvpEvent,
    EventType,
    EventUpdatedEvent,
    MessageSentEvent,
    PostLikedEvent,
    UserFollowedEvent,
    UserRegisteredEvent,
)
from pulse_sdk.contract.notifications import NotificationKind
from services.notifications.store import Notice

TYPES: tuple[EventType, ...] = (
    "user.registered",
    "user.followed",
    "post.liked",
    "comment.created",
    "message.sent",
    "event.created",
    "event.rsvp",
    "event.updated",
    "event.cancelled",
    "event.promoted",
    "event.reminder",
    "user.blocked",
    "user.unblocked",
)
"""`user.blocked` and `user.unblocked` tell nobody anything; they change who is told of what."""


def notices(event: DomainEvent) -> list[Notice]:  # noqa: PLR0911 - one for each kind of event
    """The notifications that follow from the event alone; none for who follows its author."""
    match event:
        case UserRegisteredEvent(data=data):
            return _tell(event, [data.user_id], "welcome", None)
        case UserFollowedEvent(data=data):
            return _tell(event, [data.followee_id], "follower", data.follower_id)
        case PostLikedEvent(data=data):
            about: dict[str, Any] = {"post_id": data.post_id}
            return _tell(event, [data.author_id], "like", data.liked_by, about)
        case CommentCreatedEvent(data=data):
            about = {"post_id": data.post_id, "comment_id": data.comment_id}
            asked = [] if data.parent_author_id is None else [data.parent_author_id]
            author = [data.post_author_id] if data.post_author_id not in asked else []
            return [
                *_tell(event, asked, "reply", data.author_id, about),
                *_tell(event, author, "comment", data.author_id, about),
            ]
        case MessageSentEvent(data=data):
            about = {"conversation_id": data.conversation_id, "message_id": data.message_id}
            return _tell(event, data.recipient_ids, "message", data.sender_id, about)
        case EventRsvpEvent(data=data):
            about = {"event_id": data.event_id, "answer": data.answer}
            return _tell(event, [data.creator_id], "rsvp", data.user_id, about)
        case EventUpdatedEvent(data=data):
            about = {**_about(data), "changed": data.changed}
            return _tell(event, data.recipient_ids, "event_updated", data.creator_id, about)
        case EventCancelledEvent(data=data):
            kind: NotificationKind = "event_cancelled"
            return _tell(event, data.recipient_ids, kind, data.creator_id, _about(data))
        case EventPromotedEvent(data=data):
            return _tell(event, data.recipient_ids, "promoted", None, _about(data))
        case EventReminderEvent(data=data):
            return _tell(event, data.recipient_ids, "reminder", None, _about(data))
        case _:
            return []


def announcements(event: EventCreatedEvent, followers: Iterable[UUID]) -> list[Notice]:
    """The notifications of an event for those who follow its creator."""
    data = event.data
    return _tell(event, followers, "event", data.creator_id, {"event_id": data.event_id})


def _about(data: EventNews) -> dict[str, Any]:
    return {"event_id": data.event_id, "title": data.title, "starts_at": data.starts_at}


def _tell(
    event: DomainEvent,
    people: Iterable[UUID],
    kind: NotificationKind,
    actor_id: UUID | None,
    about: dict[str, Any] | None = None,
) -> list[Notice]:
    subject = to_jsonable_python(about or {})
    return [
        Notice(user_id, event.id, kind, actor_id, subject)
        for user_id in people
        if user_id != actor_id
    ]
