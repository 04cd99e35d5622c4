"""What the fake knows: its tables, its clock, and what happens in several areas at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from pulse_sdk.contract.events import Event, GivenAnswer
from pulse_sdk.contract.messaging import Message
from pulse_sdk.contract.notifications import (
    Device,
    Notification,
    NotificationFrame,
    NotificationKind,
    Preference,
    QuietHours,
)
from pulse_sdk.contract.posts import Comment, Post, PostAuthor
from pulse_sdk.contract.users import Me
from pulse_sdk.testing._ids import new_id

ACCESS_SECONDS = 900
"""How long an access token lasts, as with a stack's defaults."""
REFRESH_SECONDS = 2_592_000
"""How long a session lasts that is not refreshed, as with a stack's defaults."""
_REMINDER = timedelta(minutes=60)


@dataclass(slots=True)
class Session:
    """A log-in."""

    id: UUID
    user_id: UUID
    refresh_token: str = field(repr=False)
    exchanged_token: str = field(repr=False)
    """What `refresh_token` was given for, and may be again for a moment; empty at first."""
    created_at: datetime
    used_at: datetime
    user_agent: str


@dataclass(frozen=True, slots=True)
class Access:
    """Whom an access token stands for, and until when."""

    user_id: UUID
    session_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Tie:
    """A follow or a block."""

    id: UUID
    by: UUID
    of: UUID
    since: datetime


@dataclass(slots=True)
class Member:
    """How far somebody is in a conversation."""

    joined_at: datetime
    delivered: int = 0
    read: int = 0


@dataclass(slots=True)
class Talk:
    """A conversation."""

    id: UUID
    is_group: bool
    title: str | None
    owner_id: UUID | None
    founders: list[UUID]
    created_at: datetime
    members: dict[UUID, Member]
    ordinals: dict[tuple[UUID, UUID], int] = field(default_factory=dict)
    """The how-manieth a message was for somebody who got it, or had got when they sent it."""


@dataclass(slots=True)
class Given:
    """An answer to an event."""

    answer: GivenAnswer
    updated_at: datetime


@dataclass(slots=True)
class Wishes:
    """Which notifications somebody wants."""

    kinds: dict[NotificationKind, Preference] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None


class World:
    """Everything there is, in plain tables."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)
        self.tell: Callable[[UUID, BaseModel], None] = lambda user_id, frame: None
        """Shows somebody who is connected a frame."""
        self.online: Callable[[UUID], bool] = lambda user_id: False

        self.users: dict[UUID, Me] = {}
        self.passwords: dict[UUID, str] = {}
        self.wrong_passwords: dict[str, list[datetime]] = defaultdict(list)
        self.sessions: dict[UUID, Session] = {}
        self.access: dict[str, Access] = {}
        self.posts: dict[UUID, Post] = {}
        self.likes: dict[UUID, dict[UUID, datetime]] = defaultdict(dict)
        self.comments: dict[UUID, Comment] = {}
        self.follows: dict[tuple[UUID, UUID], Tie] = {}
        self.blocks: dict[tuple[UUID, UUID], Tie] = {}
        self.talks: dict[UUID, Talk] = {}
        self.messages: dict[UUID, Message] = {}
        self.inboxes: dict[UUID, list[Message]] = defaultdict(list)
        """What was delivered to somebody; its first message has position 1."""
        self.notifications: dict[UUID, dict[UUID, Notification]] = defaultdict(dict)
        self.wishes: dict[UUID, Wishes] = defaultdict(Wishes)
        self.devices: dict[UUID, dict[str, Device]] = defaultdict(dict)
        self.events: dict[UUID, Event] = {}
        self.answers: dict[UUID, dict[UUID, Given]] = defaultdict(dict)
        self.reminded: set[tuple[UUID, datetime]] = set()
        self.keys: dict[tuple[object, ...], UUID] = {}
        """What was made with which idempotency key."""

    def now(self) -> datetime:
        """The fake's time, which never tells the same twice."""
        now = datetime.now(UTC) + self._ahead
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def advance(self, by: timedelta) -> None:
        """Move the clock ahead, and remind of what begins soon then."""
        self._ahead += by
        now = self.now()
        for event in list(self.events.values()):
            due = event.cancelled_at is None and now < event.starts_at <= now + _REMINDER
            if due and (event.id, event.starts_at) not in self.reminded:
                self.reminded.add((event.id, event.starts_at))
                going = {
                    user_id
                    for user_id, given in self.answers[event.id].items()
                    if given.answer in {"yes", "maybe"}
                }
                self.notify(going, "reminder", None, about_event(event))

    def new_id(self) -> UUID:
        """A new UUIDv7; a later one is greater."""
        return new_id(self.now())

    def names(self, user_id: UUID) -> PostAuthor | None:
        """What somebody is called, None for who has no account."""
        user = self.users.get(user_id)
        if user is None:
            return None
        return PostAuthor(username=user.username, display_name=user.display_name)

    def may_read(self, reader: UUID, author: UUID) -> bool:
        """Whether an author's posts are for a reader."""
        user = self.users.get(author)
        private = user is not None and user.visibility == "private"
        return not private or reader == author or (reader, author) in self.follows

    def blocked(self, one: UUID, others: Iterable[UUID]) -> bool:
        """Whether somebody and one of others have blocked one another."""
        return any((one, o) in self.blocks or (o, one) in self.blocks for o in others)

    def remembered(self, *key: object) -> UUID | None:
        """What was made with an idempotency key (the last part, None for no key)."""
        return None if key[-1] is None else self.keys.get(key)

    def remember(self, made: UUID, *key: object) -> None:
        """Keep what was made with an idempotency key."""
        if key[-1] is not None:
            self.keys[key] = made

    def notify(
        self,
        people: Iterable[UUID],
        kind: NotificationKind,
        actor_id: UUID | None,
        subject: dict[str, Any] | None = None,
    ) -> None:
        """Tell people of something, but not of what they did or those did whom they block."""
        for user_id in people:
            wanted = self.wishes[user_id].kinds.get(kind)
            if user_id == actor_id or (user_id, actor_id) in self.blocks:
                continue
            if wanted is None or wanted.in_app:
                notification = Notification(
                    id=self.new_id(),
                    kind=kind,
                    actor_id=actor_id,
                    subject=to_jsonable_python(subject or {}),
                    read=False,
                    created_at=self.now(),
                )
                self.add_notification(user_id, notification)

    def add_notification(self, user_id: UUID, notification: Notification) -> None:
        """Put a notification on somebody's list and show it if they are connected."""
        self.notifications[user_id][notification.id] = notification
        self.tell(user_id, NotificationFrame(data=notification))


def about_event(event: Event) -> dict[str, Any]:
    """The subject of a notification that tells what becomes of an event."""
    return {"event_id": event.id, "title": event.title, "starts_at": event.starts_at}


def moment(at: datetime) -> str:
    """A time as part of a key to sort by."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
