"""What each domain event tells to whom. Nobody is told of what they did themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from pulse_sdk.contract.domain import (
    CommentCreatedEvent,
    DomainEvent,
    EventCreatedEvent,
    EventRsvpEvent,
    EventType,
    MessageSentEvent,
    PostLikedEvent,
    UserFollowedEvent,
    UserRegisteredEvent,
)
from services.notifications.store import Notice

TYPES: tuple[EventType, ...] = (
    "user.registered",
    "user.followed",
    "post.liked",
    "comment.created",
    "message.sent",
    "event.created",
    "event.rsvp",
)


def notices(event: DomainEvent) -> list[Notice]:
    """The notifications that follow from the event alone; none for who follows its author."""
    people: list[UUID]
    actor_id: UUID | None
    subject: dict[str, UUID | str]
    match event:
        case UserRegisteredEvent(data=data):
            kind, people, actor_id, subject = "welcome", [data.user_id], None, {}
        case UserFollowedEvent(data=data):
            kind, people, actor_id, subject = "follower", [data.followee_id], data.follower_id, {}
        case PostLikedEvent(data=data):
            kind, people, actor_id = "like", [data.author_id], data.liked_by
            subject = {"post_id": data.post_id}
        case CommentCreatedEvent(data=data):
            kind, people, actor_id = "comment", [data.post_author_id], data.author_id
            subject = {"post_id": data.post_id, "comment_id": data.comment_id}
        case MessageSentEvent(data=data):
            kind, people, actor_id = "message", data.recipient_ids, data.sender_id
            subject = {"conversation_id": data.conversation_id, "message_id": data.message_id}
        case EventRsvpEvent(data=data):
            kind, people, actor_id = "rsvp", [data.creator_id], data.user_id
            subject = {"event_id": data.event_id, "answer": data.answer}
        case _:
            return []
    return _tell(event, people, kind, actor_id, subject)


def announcements(event: EventCreatedEvent, followers: Iterable[UUID]) -> list[Notice]:
    """The notifications of an event for those who follow its creator."""
    data = event.data
    return _tell(event, followers, "event", data.creator_id, {"event_id": data.event_id})


def _tell(
    event: DomainEvent,
    people: Iterable[UUID],
    kind: str,
    actor_id: UUID | None,
    subject: Mapping[str, UUID | str],
) -> list[Notice]:
    ids = {name: str(value) for name, value in subject.items()}
    return [
        Notice(user_id, event.id, kind, actor_id, ids) for user_id in people if user_id != actor_id
    ]
