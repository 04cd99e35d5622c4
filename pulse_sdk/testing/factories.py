"""Models with sensible values, each call others: `factories.post(text="Hello")`.

There is one for every model of an answer. What is not given is made up: ids and names are unique,
counts are 0, lists are empty, texts say what they are, and times are now. What is given must fit:

    factories.post(like_count=3).like_count     # 3
    factories.post(likes=3)                     # TypeError: Post has no 'likes', but …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from pulse_sdk.contract import (
    common,
    events,
    messaging,
    notifications,
    posts,
    social,
    users,
)
from pulse_sdk.testing._ids import new_id, numbers

M_co = TypeVar("M_co", bound=BaseModel, covariant=True)


class Factory(Generic[M_co]):
    """Makes models of one kind; each field may be given by its name."""

    def __init__(self, model: type[M_co], **defaults: Callable[[int], Any]) -> None:
        self._model = model
        self._defaults = defaults
        self.__doc__ = model.__doc__

    def __call__(self, **fields: Any) -> M_co:
        """A model with these fields, and others that are made up.

        Raises:
            TypeError: The model has no such field.
            ValidationError: A value does not fit its field.
        """
        known = self._model.model_fields
        if unknown := fields.keys() - known:
            names = ", ".join(map(repr, sorted(unknown)))
            raise TypeError(f"{self._model.__name__} has no {names}, but {', '.join(known)}")
        number = next(numbers)
        made = {
            name: self._defaults[name](number)
            if name in self._defaults
            else _made(name, field.annotation)
            for name, field in known.items()
            if name not in fields and (name in self._defaults or field.is_required())
        }
        return self._model.model_validate({**made, **fields})

    def __repr__(self) -> str:
        return f"<Factory of {self._model.__name__}>"


def _made(name: str, kind: Any) -> Any:
    """A value for a required field, by its type."""
    options = get_args(kind)
    if get_origin(kind) in {Union, UnionType}:
        return None if NoneType in options else _made(name, options[0])
    if get_origin(kind) is Literal:
        return options[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _of(kind)()
    if get_origin(kind) is not None:
        return get_origin(kind)()
    if kind is str:
        return f"{name.replace('_', ' ').capitalize()} {next(numbers)}"
    return _PLAIN[kind]()


def _of(model: type[BaseModel]) -> Factory[BaseModel]:
    return next(
        one for one in globals().values() if isinstance(one, Factory) and one._model is model
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> UUID:
    return new_id(_now())


_PLAIN: Mapping[Any, Callable[[], Any]] = {
    UUID: _new_id,
    AwareDatetime: _now,
    int: int,
    float: float,
    bool: bool,
}


def _username(number: int) -> str:
    return f"person_{number}"


def _name(number: int) -> str:
    return f"Person {number}"


field_error = Factory(common.FieldError)
problem = Factory(
    common.Problem,
    title=lambda _: "Internal Server Error",
    status=lambda _: 500,
    code=lambda _: "internal_error",
)

post_author = Factory(posts.PostAuthor, username=_username, display_name=_name)
post = Factory(posts.Post, author=lambda _: post_author())
like = Factory(posts.Like, user=lambda _: post_author())
like_status = Factory(posts.LikeStatus)
comment = Factory(posts.Comment, author=lambda _: post_author())

follow = Factory(social.Follow)
block = Factory(social.Block)
counts = Factory(social.Counts)
relation = Factory(social.Relation)
recommendation = Factory(social.Recommendation, common=lambda _: 1)
recommendations = Factory(social.Recommendations)
feed_page = Factory(social.FeedPage)

user = Factory(users.User, username=_username, display_name=_name, bio=lambda _: "")
me = Factory(
    users.Me,
    username=_username,
    display_name=_name,
    bio=lambda _: "",
    email=lambda number: f"person_{number}@people.example",
    version=lambda _: 1,
)
session = Factory(
    users.Session, expires_at=lambda _: _now() + timedelta(days=30), current=lambda _: True
)
tokens = Factory(
    users.Tokens,
    access_token=lambda number: f"access-{number}",
    refresh_token=lambda number: f"refresh-{number}",
    expires_in=lambda _: 900,
)
registered = Factory(users.Registered)

conversation = Factory(
    messaging.Conversation, member_ids=lambda _: [_new_id(), _new_id()], kind=lambda _: "direct"
)
message = Factory(messaging.Message)
unread_messages = Factory(messaging.UnreadMessages)
presence = Factory(messaging.Presence)
ready_frame = Factory(messaging.ReadyFrame)
message_frame = Factory(messaging.MessageFrame, position=lambda number: number)
typing = Factory(messaging.Typing)
typing_frame = Factory(messaging.TypingFrame)
presence_change = Factory(messaging.PresenceChange, online=lambda _: True)
presence_frame = Factory(messaging.PresenceFrame)
socket_error = Factory(
    messaging.SocketError,
    code=lambda _: "invalid_frame",
    detail=lambda _: "The frame cannot be understood.",
)
error_frame = Factory(messaging.ErrorFrame)

notification = Factory(
    notifications.Notification, kind=lambda _: "follower", actor_id=lambda _: _new_id()
)
notification_frame = Factory(notifications.NotificationFrame)
unread_count = Factory(notifications.UnreadCount)
preference = Factory(notifications.Preference, in_app=lambda _: True, push=lambda _: True)
quiet_hours = Factory(
    notifications.QuietHours,
    starts_at=lambda _: time(22),
    ends_at=lambda _: time(7),
    time_zone=lambda _: "Europe/Berlin",
)
preferences = Factory(notifications.Preferences)
device = Factory(notifications.Device, origin=lambda _: "https://push.example")
devices = Factory(notifications.Devices)
push_key = Factory(notifications.PushKey)

event = Factory(events.Event, starts_at=lambda _: _now() + timedelta(days=1))
rsvp = Factory(events.Rsvp)
attendee = Factory(events.Attendee)
