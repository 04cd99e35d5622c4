"""Timelines: the ids of the newest posts in a reader's feed, kept in Redis.

A timeline is a sorted set whose scores are all 0, so that its members, UUIDv7 in text, sort by the
time of their post, and an id is its own cursor. Exactly one member is no id. It starts with `!`,
sorts below all ids and says what lies below them: `!all`, nothing; `!cut`, older posts, which
PostgreSQL has; `!build:…`, someone is loading the timeline and nobody may read it yet.

Events reach only the timelines that exist. One that does not is loaded from PostgreSQL: the loader
sets its marker first, so that posts committed after the load's snapshot are pushed to it, and
completes the timeline only if its marker is still there, so that a follow that dropped the
timeline meanwhile is not undone.

A timeline lives 15 minutes from its load, read or not. That bounds whatever may be wrong with one:
a drop that failed while Redis was away, a push that crossed an unfollow, a deleted post that was
loaded (readers skip it).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import islice
from time import monotonic
from typing import NamedTuple, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from services.kit.cache import CACHE_SECONDS, FAILURES
from services.kit.ids import new_id
from services.kit.observe import CACHE
from services.social.scripts import BEGIN, COMPLETE, PUSH

log = logging.getLogger(__name__)

LENGTH = 60
"""Ids in a timeline that is loaded: three pages. Its cost is in pushes: a new post is put into some
40 timelines, and Redis takes 6 µs for that in a set of 80 members, 9 in one of 120."""

_MOST = 80
"""A timeline that has grown beyond is cut back to `LENGTH`, so that few pushes cut."""

_LIVES_SECONDS = 900
_BUILD_SECONDS = 10
"""How long a loader that died keeps others from loading; they read PostgreSQL meanwhile."""

_PUSH_SECONDS = 1.0
_AWAY_SECONDS = 1.0
"""After a push failed, how long further ones fail at once, so that the read model keeps up."""

_READERS = 1000
"""Most timelines in one push; Redis serves nobody else while it runs (about 10 ms)."""

_PREFIX = "social:timeline:"


class Below(Enum):
    """What lies below the ids that a timeline gave."""

    MORE = b""
    """As many as were asked for were found."""
    NOTHING = b"!all"
    OLDER = b"!cut"
    """Posts that PostgreSQL has."""
    UNKNOWN = b"?"
    """The timeline cannot be read now: it is being loaded, or Redis is away."""
    UNBUILT = b"!"
    """There is no timeline: load it."""


class Part(NamedTuple):
    """A part of a timeline, newest first."""

    ids: list[str]
    below: Below


class Change(NamedTuple):
    """A post that came into feeds or went out of them."""

    post_id: str
    created: bool


class Timelines:
    """Reads, loads and feeds timelines. Only `push` fails when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._begin = redis.register_script(BEGIN)
        self._complete = redis.register_script(COMPLETE)
        self._push = redis.register_script(PUSH)
        self._away_until = 0.0
        self._hits, self._misses, self._errors = (
            CACHE.labels("timeline", outcome) for outcome in ("hit", "miss", "error")
        )

    async def read(self, reader: UUID, before: str | None, count: int) -> Part:
        """At most `count` ids older than one, in one round trip."""
        top = "+" if before is None else f"({before}"
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                found = await self._redis.zrevrangebylex(_key(reader), top, "-", 0, count)
        except FAILURES as error:
            self._failed(error)
            return Part([], Below.UNKNOWN)
        members = cast("list[bytes]", found)  # this client does not decode
        if not members:
            self._misses.inc()
            return Part([], Below.UNBUILT)
        self._hits.inc()
        below = Below.MORE
        if members[-1].startswith(b"!"):
            marker = members.pop()
            if marker not in {Below.NOTHING.value, Below.OLDER.value}:
                return Part([], Below.UNKNOWN)
            below = Below(marker)
        return Part([member.decode() for member in members], below)

    async def begin(self, reader: UUID) -> str | None:
        """Begin to load; the marker to complete it with, None when that is not ours to do."""
        marker = f"!build:{new_id()}"
        begun = await self._try(self._begin(keys=[_key(reader)], args=[marker, _BUILD_SECONDS]))
        return marker if begun else None

    async def complete(self, reader: UUID, marker: str, newest: Sequence[str]) -> None:
        """Fill a timeline that was begun with the newest posts, at most `LENGTH`."""
        floor = Below.NOTHING if len(newest) < LENGTH else Below.OLDER
        args = [_MOST, LENGTH, marker, floor.value, _LIVES_SECONDS, *newest]
        await self._try(self._complete(keys=[_key(reader)], args=args))

    async def drop(self, readers: Iterable[UUID]) -> None:
        """Have timelines loaded anew, since what belongs into them has changed."""
        if keys := [_key(reader) for reader in readers]:
            await self._try(self._redis.unlink(*keys))

    async def push(self, changes: Mapping[str, Sequence[Change]]) -> None:
        """Bring each reader's changes into those timelines that exist.

        Raises:
            ConnectionError: Redis is away; to be tried again.
        """
        if monotonic() < self._away_until:
            raise ConnectionError("Redis was away a moment ago")
        remaining = iter(changes.items())
        try:
            while some := list(islice(remaining, _READERS)):
                async with asyncio.timeout(_PUSH_SECONDS):
                    await self._push_some(some)
        except FAILURES as error:
            self._away_until = monotonic() + _AWAY_SECONDS
            self._failed(error)
            raise ConnectionError("timelines cannot be reached") from error

    async def _push_some(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        args: list[str | int] = [_MOST, LENGTH]
        for _, posts in changes:
            args.append(len(posts))
            args += ("+" + post.post_id if post.created else "-" + post.post_id for post in posts)
        keys = [_PREFIX + reader for reader, _ in changes]
        try:
            await self._redis.evalsha(self._push.sha, len(keys), *keys, *args)
        except NoScriptError:
            # Redis keeps timelines over a restart, but not scripts. So it was restarted, and may
            # have lost its last pushes: begin again.
            await self._drop_all()
            await self._redis.script_load(PUSH)
            await self._redis.evalsha(self._push.sha, len(keys), *keys, *args)

    async def _drop_all(self) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._redis.scan(cursor, match=f"{_PREFIX}*", count=1000)
            if keys:
                await self._redis.unlink(*keys)
            if cursor == 0:
                return

    async def _try(self, command: Awaitable[object]) -> object | None:
        """The answer, None when Redis is away."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                return await command
        except FAILURES as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self._errors.inc()
        log.warning("timelines cannot be reached: %r", error)


def _key(reader: UUID) -> str:
    return f"{_PREFIX}{reader}"
