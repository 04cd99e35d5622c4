"""Notifications, which of them people want, and the devices they are pushed to."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from pulse_sdk.contract.common import PageQuery, RequestModel, ResponseModel, Secret, Timestamp

NotificationKind = Literal[
    "welcome",
    "follower",
    "like",
    "comment",
    "reply",
    "message",
    "event",
    "rsvp",
    "event_updated",
    "event_cancelled",
    "promoted",
    "reminder",
]
"""What a notification tells of; more may come."""


class Notification(ResponseModel):
    """Something that happened and concerns the caller."""

    id: UUID
    kind: str
    """One of `NotificationKind`, or a newer one."""
    actor_id: UUID | None
    """Who caused it; null when the platform did."""
    subject: dict[str, Any]
    """What it is about, by kind: `post_id`, `comment_id`, `conversation_id`, `message_id`,
    `event_id`; of an `rsvp` also its `answer`; of `event_updated`, `event_cancelled`, `promoted`
    and `reminder` also the event's `title` and `starts_at`, of the first what `changed`."""
    read: bool
    created_at: Timestamp


class NotificationsQuery(PageQuery):
    """Which notifications are wanted."""

    unread: bool = False
    """Whether those alone that are unread."""


class UnreadCount(ResponseModel):
    """How many notifications are unread."""

    unread: int


class SetPreference(RequestModel):
    """Through which channels notifications of a kind are wanted."""

    in_app: bool
    """In the list, and on the live stream."""
    push: bool
    """To the caller's devices."""


class Preference(ResponseModel):
    """Through which channels notifications of a kind come; all of them at first."""

    kind: NotificationKind | str
    in_app: bool
    push: bool


class SetQuietHours(RequestModel):
    """When nothing is to be pushed, daily; past midnight when it ends before it begins."""

    starts_at: time
    ends_at: time
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """A name of the IANA time zone database, such as `Europe/Berlin`."""

    @model_validator(mode="after")
    def _a_time_of_day(self) -> Self:
        if self.starts_at.tzinfo or self.ends_at.tzinfo:
            raise ValueError("times are those of time_zone and have no offset")
        if self.starts_at == self.ends_at:
            raise ValueError("starts_at and ends_at differ")
        return self


class QuietHours(ResponseModel):
    """When nothing is pushed; what is told meanwhile is in the list and is not pushed later."""

    starts_at: time
    ends_at: time
    time_zone: str


class Preferences(ResponseModel):
    """Which notifications the caller wants, and when."""

    kinds: list[Preference]
    quiet_hours: QuietHours | None


class NotificationFrame(ResponseModel):
    """What the live stream sends."""

    type: Literal["notification"] = "notification"
    data: Notification


_Base64Url = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+=*$", max_length=128)]


class DeviceKeys(RequestModel):
    """A subscription's keys (RFC 8291), base64url, as browsers give them."""

    p256dh: _Base64Url
    auth: Annotated[Secret, Field(max_length=64)]


class RegisterDevice(RequestModel):
    """A Web Push subscription: what a browser's `PushSubscription.toJSON()` gives."""

    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    keys: DeviceKeys


class Device(ResponseModel):
    """A device that notifications are pushed to."""

    id: UUID
    origin: str
    """The push service's scheme and host; the endpoint itself is a secret of the device."""
    created_at: Timestamp


class Devices(ResponseModel):
    """The caller's devices, latest first."""

    items: list[Device]


class PushKey(ResponseModel):
    """The key that subscriptions are made for (`applicationServerKey`), base64url."""

    key: str
