"""Domain events: what services tell each other through the broker.

An envelope is a CloudEvents 1.0 JSON object; its `data` is one of the models here. The routing
key on the topic exchange is the event's type.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from pulse_sdk.contract.common import ResponseModel, Timestamp
from pulse_sdk.contract.events import GivenAnswer
from pulse_sdk.contract.users import Visibility

EXCHANGE = "pulse.events"
"""The durable topic exchange all domain events are published to."""

ATTEMPT_HEADER = "x-attempt"
"""On a message that waits to be handled again or is parked: how often it failed."""

ERROR_HEADER = "x-error"
"""On such a message: why it failed last, in one line."""


class UserChanged(ResponseModel):
    """Data of `user.registered` and `user.updated`."""

    user_id: UUID
    username: str
    display_name: str
    visibility: Visibility = "public"


class PostCreated(ResponseModel):
    """Data of `post.created`."""

    post_id: UUID
    author_id: UUID


class PostDeleted(ResponseModel):
    """Data of `post.deleted`."""

    post_id: UUID
    author_id: UUID


class PostLiked(ResponseModel):
    """Data of `post.liked`."""

    post_id: UUID
    author_id: UUID
    liked_by: UUID


class CommentCreated(ResponseModel):
    """Data of `comment.created`."""

    comment_id: UUID
    post_id: UUID
    post_author_id: UUID
    author_id: UUID
    parent_author_id: UUID | None = None
    """Who wrote the comment that this one replies to, None when it replies to none."""


class FollowChanged(ResponseModel):
    """Data of `user.followed` and `user.unfollowed`."""

    follower_id: UUID
    followee_id: UUID


class BlockChanged(ResponseModel):
    """Data of `user.blocked` and `user.unblocked`.

    A block ends the follows between the two, without `user.unfollowed`.
    """

    blocker_id: UUID
    blocked_id: UUID


class MessageSent(ResponseModel):
    """Data of `message.sent`."""

    message_id: UUID
    conversation_id: UUID
    sender_id: UUID
    recipient_ids: list[UUID]


class EventChanged(ResponseModel):
    """Data of `event.created`."""

    event_id: UUID
    creator_id: UUID
    title: str
    starts_at: Timestamp


class EventRsvp(ResponseModel):
    """Data of `event.rsvp`."""

    event_id: UUID
    creator_id: UUID
    user_id: UUID
    answer: GivenAnswer


class EventNews(EventChanged):
    """Data of what those who answered an event are told of.

    `event.updated`, `event.cancelled`, `event.promoted` (a place became free) and
    `event.reminder` (it begins soon). What concerns very many people comes as several events.
    """

    changed: list[str] = Field(default_factory=list)
    """Which fields changed, of `event.updated`."""
    recipient_ids: list[UUID] = Field(default_factory=list)


class _Envelope(ResponseModel):
    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: str
    """`/services/<name>` of the publisher."""
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    correlationid: str | None = None
    """Correlation id of the request that caused the event (a CloudEvents extension)."""
    traceparent: str | None = None
    """W3C trace context of that request (CloudEvents' distributed tracing extension)."""


class UserRegisteredEvent(_Envelope):
    """An account was made."""

    type: Literal["user.registered"] = "user.registered"
    data: UserChanged


class UserUpdatedEvent(_Envelope):
    """A profile changed."""

    type: Literal["user.updated"] = "user.updated"
    data: UserChanged


class PostCreatedEvent(_Envelope):
    """A post was made."""

    type: Literal["post.created"] = "post.created"
    data: PostCreated


class PostDeletedEvent(_Envelope):
    """A post was deleted."""

    type: Literal["post.deleted"] = "post.deleted"
    data: PostDeleted


class PostLikedEvent(_Envelope):
    """A post was liked."""

    type: Literal["post.liked"] = "post.liked"
    data: PostLiked


class CommentCreatedEvent(_Envelope):
    """A comment was made."""

    type: Literal["comment.created"] = "comment.created"
    data: CommentCreated


class UserFollowedEvent(_Envelope):
    """Someone follows someone."""

    type: Literal["user.followed"] = "user.followed"
    data: FollowChanged


class UserUnfollowedEvent(_Envelope):
    """Someone no longer follows someone."""

    type: Literal["user.unfollowed"] = "user.unfollowed"
    data: FollowChanged


class UserBlockedEvent(_Envelope):
    """Someone wants nothing more to do with someone."""

    type: Literal["user.blocked"] = "user.blocked"
    data: BlockChanged


class UserUnblockedEvent(_Envelope):
    """Someone no longer blocks someone."""

    type: Literal["user.unblocked"] = "user.unblocked"
    data: BlockChanged


class MessageSentEvent(_Envelope):
    """A message was sent."""

    type: Literal["message.sent"] = "message.sent"
    data: MessageSent


class EventCreatedEvent(_Envelope):
    """An event was announced."""

    type: Literal["event.created"] = "event.created"
    data: EventChanged


class EventUpdatedEvent(_Envelope):
    """An event was edited."""

    type: Literal["event.updated"] = "event.updated"
    data: EventNews


class EventCancelledEvent(_Envelope):
    """An event will not take place."""

    type: Literal["event.cancelled"] = "event.cancelled"
    data: EventNews


class EventPromotedEvent(_Envelope):
    """People who waited for a place at an event have one."""

    type: Literal["event.promoted"] = "event.promoted"
    data: EventNews


class EventReminderEvent(_Envelope):
    """An event begins soon."""

    type: Literal["event.reminder"] = "event.reminder"
    data: EventNews


class EventRsvpEvent(_Envelope):
    """Someone answered an event."""

    type: Literal["event.rsvp"] = "event.rsvp"
    data: EventRsvp


DomainEvent = Annotated[
    UserRegisteredEvent
    | UserUpdatedEvent
    | PostCreatedEvent
    | PostDeletedEvent
    | PostLikedEvent
    | CommentCreatedEvent
    | UserFollowedEvent
    | UserUnfollowedEvent
    | UserBlockedEvent
    | UserUnblockedEvent
    | MessageSentEvent
    | EventCreatedEvent
    | EventRsvpEvent
    | EventUpdatedEvent
    | EventCancelledEvent
    | EventPromotedEvent
    | EventReminderEvent,
    Field(discriminator="type"),
]
"""Any event of the catalogue, told apart by its `type`."""

EventType = Literal[
    "user.registered",
    "user.updated",
    "post.created",
    "post.deleted",
    "post.liked",
    "comment.created",
    "user.followed",
    "user.unfollowed",
    "user.blocked",
    "user.unblocked",
    "message.sent",
    "event.created",
    "event.rsvp",
    "event.updated",
    "event.cancelled",
    "event.promoted",
    "event.reminder",
]
