"""What authors are called and whose posts are private: told by users' events, kept in memory.

Every post that is read needs its author, so each instance keeps those it met and follows the
table: what is written there is here within `_FOLLOW_SECONDS`. That, and the event's own way, is
how long a new name, or a profile that became private, may go unnoticed. Someone of whom no event
told has no name here, and posts for everyone; the users service is asked for them in the
background, so that accounts older than this table get into it when they are first met.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from pulse_sdk.contract.domain import DomainEvent, UserRegisteredEvent, UserUpdatedEvent
from pulse_sdk.contract.internal import ImportAuthor, UserBatch, UsersByIds
from pulse_sdk.contract.posts import PostAuthor
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.observe import degraded
from services.kit.peers import Peers

log = logging.getLogger(__name__)

_FOLLOW_SECONDS = 1.0
_OVERLAP = timedelta(seconds=10)
"""A row may be committed, hence seen, after rows that were written later: a statement takes 5 s at
most."""
_MOST_AT_A_TIME = 5_000
_MOST_KNOWN = 50_000
"""Authors in memory, some 700 bytes each; those met first are forgotten first."""

_STRANGERS_AT_ONCE = 100
_MOST_STRANGERS = 10_000
"""Authors without a name who wait to be asked for; who is met past it is asked for another time."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""When names that no event told were true: before whatever one tells."""

_AUTHOR = "user_id::text, username, display_name, visibility"

_NOW = Query("authors_now", "SELECT clock_timestamp()")
_BY_IDS = Query(
    "authors_by_ids", f"SELECT {_AUTHOR} FROM authors WHERE user_id = ANY(%(ids)s::uuid[])"
)
_WRITTEN = Query(
    "authors_written",
    f"""SELECT {_AUTHOR}, written_at FROM authors WHERE written_at > %(written_after)s
    ORDER BY written_at LIMIT {_MOST_AT_A_TIME}""",
)
_WRITE = Query(
    "authors_write",
    f"""INSERT INTO authors (user_id, username, display_name, visibility, changed_at)
    SELECT * FROM unnest(%(ids)s::uuid[], %(usernames)s::text[], %(display_names)s::text[],
        %(visibilities)s::text[], %(changed_ats)s::timestamptz[])
    ON CONFLICT (user_id) DO UPDATE SET username = EXCLUDED.username,
        display_name = EXCLUDED.display_name, visibility = EXCLUDED.visibility,
        changed_at = EXCLUDED.changed_at, written_at = clock_timestamp()
    WHERE authors.changed_at < EXCLUDED.changed_at
    RETURNING {_AUTHOR}""",
)


class Author(NamedTuple):
    """What is known of someone who writes."""

    names: PostAuthor | None
    json: bytes
    """The names as JSON."""
    private: bool
    """Their posts are for followers alone."""


_UNKNOWN = Author(None, b"null", private=False)
_UNREADABLE = Author(None, b"null", private=True)


class _State(NamedTuple):
    """What an author was at a time."""

    user_id: UUID
    username: str
    display_name: str
    visibility: str
    changed_at: datetime


def key_of(author_id: UUID) -> bytes:
    """What an author is found by: the id as it stands in JSON."""
    return str(author_id).encode()


class Authors:
    """The authors' table, and the part of it that is in memory."""

    def __init__(self, database: Database, peers: Peers) -> None:
        self._database = database
        self._peers = peers
        self._known: dict[bytes, Author] = {}
        self._strangers: dict[bytes, None] = {}

    async def one(self, author_id: UUID) -> Author:
        """One author."""
        key = key_of(author_id)
        found = self._known.get(key)
        return (await self.many((key,)))[key] if found is None else found

    async def many(self, keys: Collection[bytes]) -> dict[bytes, Author]:
        """Authors by their keys, each of them; read from PostgreSQL if they are met first."""
        known = self._known
        found = {key: known[key] for key in keys if key in known}
        if len(found) < len(keys):
            missing = [key for key in keys if key not in found]
            rows = await self._database.rows(_BY_IDS, {"ids": [key.decode() for key in missing]})
            found |= self._keep(missing, rows)
        return found

    async def many_if_possible(self, keys: Collection[bytes]) -> dict[bytes, Author]:
        """The same; without PostgreSQL those who are not in memory are unknown, and private."""
        try:
            return await self.many(keys)
        except ServiceError:
            degraded("post_authors")
            return {key: self._known.get(key, _UNREADABLE) for key in keys}

    async def apply(self, events: list[DomainEvent]) -> None:
        """Learn what users' events tell; in any order, and again without effect."""
        await self._write(
            _State(
                event.data.user_id,
                event.data.username,
                event.data.display_name,
                event.data.visibility,
                event.time,
            )
            for event in events
            if isinstance(event, UserRegisteredEvent | UserUpdatedEvent)
        )

    async def import_authors(self, authors: Sequence[ImportAuthor]) -> None:
        """Learn names of which no event will tell."""
        await self._write(
            _State(author.id, author.username, author.display_name, "public", _BEGINNING)
            for author in authors
        )

    async def _write(self, states: Iterable[_State]) -> None:
        # One state for each author: a statement may not change a row twice.
        last = {state.user_id: state for state in sorted(states, key=lambda s: s.changed_at)}
        if not last:
            return
        ids, usernames, display_names, visibilities, changed_ats = zip(*last.values(), strict=True)
        params = {
            "ids": list(ids),
            "usernames": list(usernames),
            "display_names": list(display_names),
            "visibilities": list(visibilities),
            "changed_ats": list(changed_ats),
        }
        self._renew(await self._database.rows(_WRITE, params))

    async def follow(self) -> None:
        """Keep what is in memory as the table is. Ends by cancellation only."""
        since: datetime | None = None
        while True:
            try:
                if since is None:
                    since = await self._now() - _OVERLAP
                rows = await self._database.rows(_WRITTEN, {"written_after": since})
                self._renew([row[:4] for row in rows])
                if rows:
                    last: datetime = rows[-1][4]
                    since = last if len(rows) == _MOST_AT_A_TIME else max(since, last - _OVERLAP)
            except Exception as error:
                log.warning("the authors' table cannot be followed now: %r", error)
            try:
                await self.meet()
            except Exception as error:
                log.warning("authors without a name stay so for now: %r", error)
            await asyncio.sleep(_FOLLOW_SECONDS)

    async def meet(self) -> None:
        """Ask the users service for some of those who were met and have no name.

        Raises:
            ServiceError: 503, it or the database is away; they are asked for again.
        """
        some = list(islice(self._strangers, _STRANGERS_AT_ONCE))
        if not some:
            return
        wanted = UsersByIds(ids=[UUID(key.decode()) for key in some])
        path = "/internal/users/batch"
        parse = UserBatch.model_validate_json
        batch = await self._peers.call("users", path, parse, body=wanted)
        await self._write(
            _State(user.id, user.username, user.display_name, user.visibility, _BEGINNING)
            for user in batch.items
        )
        for key in some:
            self._strangers.pop(key, None)

    async def _now(self) -> datetime:
        row = await self._database.row(_NOW)
        assert row is not None  # noqa: S101 - it always answers
        now: datetime = row[0]
        return now

    def _keep(self, keys: Iterable[bytes], rows: Iterable[Row]) -> dict[bytes, Author]:
        """Take those into memory that were looked for, found or not."""
        found = dict.fromkeys(keys, _UNKNOWN) | _authors(rows)
        self._known |= found
        for key, author in found.items():
            if author is _UNKNOWN and len(self._strangers) < _MOST_STRANGERS:
                self._strangers[key] = None
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return found

    def _renew(self, rows: Iterable[Row]) -> None:
        """Take over what has changed of those in memory; the others are read when they are met."""
        for key, author in _authors(rows).items():
            if key in self._known:
                self._known[key] = author


def _authors(rows: Iterable[Row]) -> dict[bytes, Author]:
    return {user_id.encode(): _author(*state) for user_id, *state in rows}


def _author(username: str, display_name: str, visibility: str) -> Author:
    names = PostAuthor(username=username, display_name=display_name)
    return Author(names, names.model_dump_json().encode(), visibility == "private")
