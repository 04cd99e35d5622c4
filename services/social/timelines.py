"""Timelines: the ids of the newest posts in a reader's feed, kept in Redis.

A timeline is a sorted set whose scores are all 0, so that its members, UUIDv7 in text, sort by the
time of their post, and an id is its own cursor. Exactly one member is no id. It starts with `!`,
sorts below all ids and says what lies below them: `!all`, nothing; `!cut`, older posts, which
PostgreSQL has; `!build:…`, someone is loading the timeline and nobody may read it yet.

Events reach only the timelines that exist. One that does not is loaded from PostgreSQL: the loader
sets its marker first, so that posts committed after the load's snapshot are pushed to it, and
completes the timeline only if its marker is still there, so that a follow that dropped the
timeline meanwhile is not undone.

Authors with very many followers have a timeline of their own posts. Beside a reader's timeline
stands which of those the reader follows, and a read brings parts of all of them in one round trip.

A push may cross the end of a follow, and bring a post into the timeline that was loaded after that
end. So each end leaves a new note in Redis, and a push tells whether the note has changed since the
push before; then its sender looks who does not follow any more.

A timeline lives 15 minutes from its load, read or not. That bounds whatever may be wrong with one:
a drop that failed while Redis was away, a deleted post that was loaded (readers skip it).
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
from services.kit.observe import CACHE, degraded
from services.social.scripts import BEGIN, COMPLETE, PUSH, READ

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
_BY = f"{_PREFIX}by:"
_MERGED = f"{_PREFIX}merged:"
_ENDED = "social:follow-ended"


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


class Parts(NamedTuple):
    """The same part of a reader's timeline and of those that are merged with it, by author."""

    own: Part
    merged: dict[str, Part]


def author_timeline(author: object) -> str:
    """The name of the timeline that holds an author's own posts; a reader's is the reader's id."""
    return f"by:{author}"


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
        self._read = redis.register_script(READ)
        self._away_until = 0.0
        self._last_end: bytes | None = None
        self._hits, self._misses, self._errors = (
            CACHE.labels("timeline", outcome) for outcome in ("hit", "miss", "error")
        )

    async def read(self, reader: UUID, before: str | None, count: int) -> Parts:
        """At most `count` ids older than one of each timeline, in one round trip."""
        top = "+" if before is None else f"({before}"
        keys = [f"{_PREFIX}{reader}", f"{_MERGED}{reader}"]
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                found = await self._read(keys=keys, args=[top, count, _BY])
        except FAILURES as error:
            self._failed(error)
            return Parts(Part([], Below.UNKNOWN), {})
        own = _part(found[0])
        if own.below is Below.UNBUILT:
            self._misses.inc()
        else:
            self._hits.inc()
        merged = {found[i].decode(): _part(found[i + 1]) for i in range(1, len(found), 2)}
        return Parts(own, merged)

    async def begin(self, timeline: object) -> str | None:
        """Begin to load; the marker to complete it with, None when that is not ours to do."""
        marker = f"!build:{new_id()}"
        key = f"{_PREFIX}{timeline}"
        begun = await self._try(self._begin(keys=[key], args=[marker, _BUILD_SECONDS]))
        return marker if begun else None

    async def complete(
        self, timeline: object, marker: str, newest: Sequence[str], merged: Sequence[str] = ()
    ) -> None:
        """Fill a timeline that was begun with the newest posts, at most `LENGTH`.

        The timelines of the authors in `merged` are read with it from then on.
        """
        floor = Below.NOTHING if len(newest) < LENGTH else Below.OLDER
        keys = [f"{_PREFIX}{timeline}", f"{_MERGED}{timeline}"]
        args = [_MOST, LENGTH, marker, floor.value, _LIVES_SECONDS, len(merged), *merged, *newest]
        await self._try(self._complete(keys=keys, args=args))

    async def drop(self, readers: Iterable[object]) -> bool:
        """Have timelines loaded anew, since what belongs into them has changed.

        False when Redis is away.
        """
        keys = [prefix + str(reader) for reader in readers for prefix in (_PREFIX, _MERGED)]
        return not keys or await self._try(self._redis.unlink(*keys)) is not None

    async def drop_ended(self, readers: Iterable[object]) -> None:
        """Have timelines loaded anew after follows by their readers have ended."""
        # The note comes first: a push that does not see it comes before the drop.
        await self._try(self._redis.set(_ENDED, str(new_id())))
        await self.drop(readers)

    async def push(self, changes: Mapping[str, Sequence[Change]]) -> bool:
        """Bring changes into those timelines that exist; whether a follow may have ended since.

        Since the push before, that is: a caller who has read the followers after that one, and
        before this, has to look whether they still are.

        Raises:
            ConnectionError: Redis is away; to be tried again.
        """
        if monotonic() < self._away_until:
            raise ConnectionError("Redis was away a moment ago")
        remaining = iter(changes.items())
        known = last_end = self._last_end
        try:
            while some := list(islice(remaining, _READERS)):
                async with asyncio.timeout(_PUSH_SECONDS):
                    last_end = await self._push_some(some)
        except FAILURES as error:
            self._away_until = monotonic() + _AWAY_SECONDS
            self._failed(error)
            raise ConnectionError("timelines cannot be reached") from error
        self._last_end = last_end
        return last_end != known

    async def _push_some(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> bytes | None:
        args: list[str | int] = [_MOST, LENGTH, _ENDED]
        for _, posts in changes:
            args.append(len(posts))
            args += ("+" + post.post_id if post.created else "-" + post.post_id for post in posts)
        keys = [_PREFIX + timeline for timeline, _ in changes]
        try:
            answer = await self._redis.evalsha(self._push.sha, len(keys), *keys, *args)
        except NoScriptError:
            # Redis keeps timelines over a restart, but not scripts. So it was restarted, and may
            # have lost its last pushes: begin again.
            await self._drop_all()
            await self._redis.script_load(PUSH)
            await self._redis.set(_ENDED, str(new_id()))  # the last one may be lost as well
            answer = await self._redis.evalsha(self._push.sha, len(keys), *keys, *args)
        return cast("bytes | None", answer)

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
        degraded("timelines")
        log.warning("timelines cannot be reached: %r", error)


def _part(members: list[bytes]) -> Part:
    """What a timeline gave, without its marker."""
    if not members:
        return Part([], Below.UNBUILT)
    below = Below.MORE
    if members[-1].startswith(b"!"):
        marker = members.pop()
        if marker not in {Below.NOTHING.value, Below.OLDER.value}:
            return Part([], Below.UNKNOWN)
        below = Below(marker)
    return Part([member.decode() for member in members], below)
