"""What people see of the API's answers on a terminal.

Texts come from other people: none of their characters may move the cursor, recolour the terminal
or reorder a line.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from rich.text import Text

from pulse_cli.output import say, table
from pulse_sdk import Pulse, PulseError
from pulse_sdk.contract.messaging import (
    ErrorFrame,
    MessageFrame,
    PresenceFrame,
    TypingFrame,
)
from pulse_sdk.contract.notifications import Notification, NotificationFrame
from pulse_sdk.contract.posts import Post

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that do something in place of being seen."""
_SEEN = frozenset("\u200d\ufe0f")
"""Of these, what emoji are joined with."""

Named = Callable[[UUID | None], str]


def plain(text: str) -> str:
    """A text as one line of visible characters."""
    return "".join(
        " " if unicodedata.category(c) in _STEERING and c not in _SEEN else c for c in text
    )


def names(client: Pulse) -> Named:
    """Looks usernames up, each once; an id where there is none to be had."""
    known: dict[UUID, str] = {}

    def named(user_id: UUID | None) -> str:
        if user_id is None:
            return "Pulse"
        if user_id not in known:
            try:
                known[user_id] = client.users.get(user_id).username
            except PulseError:
                return str(user_id)
        return known[user_id]

    return named


def show_posts(posts: Sequence[Post]) -> None:
    """Print a table of posts."""
    table(
        ("WHEN", "AUTHOR", "TEXT", "LIKES", "COMMENTS"),
        [
            (
                _when(post.created_at),
                Text(plain(post.author.username if post.author else str(post.author_id))),
                Text(plain(post.text)),
                str(post.like_count),
                str(post.comment_count),
            )
            for post in posts
        ],
    )


def show_notifications(notifications: Sequence[Notification], named: Named) -> None:
    """Print a table of notifications; unread ones are bold."""
    table(
        ("WHEN", "KIND", "FROM", "ABOUT"),
        [
            (
                _when(one.created_at),
                Text(plain(one.kind), style="" if one.read else "bold"),
                Text(plain(named(one.actor_id))),
                Text(_about(one)),
            )
            for one in notifications
        ],
    )


def line_of(frame: BaseModel, named: Named) -> str:
    """One line for a live frame."""
    now = f"{datetime.now():%H:%M:%S}"
    match frame:
        case MessageFrame(data=message):
            at = f"{message.created_at.astimezone():%H:%M:%S}"
            return f"{at} {plain(named(message.sender_id))}: {plain(message.text)}"
        case TypingFrame(data=typing):
            return f"{now} {plain(named(typing.user_id))} is writing"
        case PresenceFrame(data=change):
            came = "is online" if change.online else "is offline"
            return f"{now} {plain(named(change.user_id))} {came}"
        case NotificationFrame(data=one):
            return f"{now} {plain(one.kind)} from {plain(named(one.actor_id))} {_about(one)}"
        case ErrorFrame(data=error):
            return f"{now} {plain(error.code)}: {plain(error.detail)}"
        case _:
            return f"{now} {plain(frame.model_dump_json())}"


def tell_of_breaks() -> None:
    """From now on, say on stderr when the connection is lost and when it is made again."""

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(plain(record.getMessage()))

    log = logging.getLogger("pulse_sdk.realtime")
    log.addHandler(Told())
    log.setLevel(logging.INFO)


def _about(one: Notification) -> str:
    return plain(" ".join(f"{name}={value}" for name, value in one.subject.items()))


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
