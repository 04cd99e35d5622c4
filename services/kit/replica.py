"""What is known of a read replica: up to when it has everything, and who wrote since.

A reader sees their own writes, on whichever instance. How, without clocks of several machines
being compared:

- Each instance asks the server four times a second how far its log is, and the replica how much of
  it was replayed. Once that position is reached, the replica has whatever was committed before the
  server was *asked*: the time since then, on this instance's clock, is how far it may be behind.
- After a user's write, and before its answer, a mark of the user that lives for some seconds is
  left in Redis. What is left of its life tells how old it is, on Redis' clock.
- So a user's reads go to the replica when there is no mark, or one older than the replica may be
  behind. They go to the server when the replica is more than `LAG_SECONDS` behind, which is less
  than a mark's life; without a user; and when marks may have been lost, since Redis was away.

Nothing is added to a write but the mark: no position of the log need be read or kept with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from time import monotonic
from uuid import UUID

import aiopg
from redis.asyncio import Redis

from services.kit.cache import CACHE_SECONDS, FAILURES
from services.kit.connection import Connection
from services.kit.observe import DEGRADED, REPLICA_LAG
from services.kit.tasks import raise_if_cancelled

LAG_SECONDS = 2.0
"""How far behind a replica may be and still be read."""
MARK_SECONDS = 5.0
"""How long it is known that a user wrote."""

_SLACK_SECONDS = 0.02
"""What Redis rounds, and clocks differ in speed."""
_POLL_SECONDS = 0.25
_RECONNECT_SECONDS = 0.5
_TIMEOUT_SECONDS = 1.0
_REMEMBERED = 40
"""Positions of the server that the replica has not reached yet: ten seconds."""

_FLUSHED = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
"""A commit is acknowledged when it is flushed, so all that are lie before this."""
_REPLAYED = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint"

log = logging.getLogger(__name__)

caller: ContextVar[UUID | None] = ContextVar("caller", default=None)
"""The user whose request is being served."""


class Horizon:
    """The time up to which a replica has everything, told from positions in the log."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self.complete_at = -math.inf

    def asked(self, at: float, flushed: int) -> None:
        """The server was asked at a time, and was so far."""
        self._asked.append((at, flushed))

    def reached(self, replayed: int | None) -> None:
        """The replica has replayed so much; None when it is no replica."""
        while replayed is not None and self._asked and self._asked[0][1] <= replayed:
            self.complete_at = self._asked.popleft()[0]

    def lost(self) -> None:
        """The replica may be another, or start again from further back."""
        self._asked.clear()
        self.complete_at = -math.inf


class Replica:
    """Decides who is served by a replica, and watches it."""

    def __init__(self, redis: Redis, service: str, *, server: str, replica: str, name: str) -> None:
        """Of `server` and `replica`, connection strings; `name` is the replica's in metrics."""
        self._redis = redis
        self._prefix = f"{service}:wrote:"
        self._dsns = (server, replica)
        self._horizon = Horizon()
        self._blind_until = -math.inf
        self._unusable = DEGRADED.labels("replica")
        REPLICA_LAG.labels(name).set_function(self.lag)

    def lag(self) -> float:
        """For how many seconds at most it may lack what was committed; infinite when unknown."""
        return monotonic() - self._horizon.complete_at

    async def serves(self, user: UUID | None) -> bool:
        """Whether it has all that a user may expect to see."""
        if user is None:
            return False
        if self.lag() > LAG_SECONDS or monotonic() < self._blind_until:
            self._unusable.inc()
            return False
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                left: int = await self._redis.pttl(f"{self._prefix}{user}")
        except FAILURES as error:
            self._missed(error)
            return False
        age = MARK_SECONDS - left / 1000 if left >= 0 else MARK_SECONDS
        return self.lag() <= min(LAG_SECONDS, age - _SLACK_SECONDS)

    async def wrote(self, users: Iterable[UUID]) -> None:
        """Mark users: something was committed that they are to see."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for user in users:
                    pipe.psetex(f"{self._prefix}{user}", int(MARK_SECONDS * 1000), b"")
                await pipe.execute()
        except FAILURES as error:
            self._missed(error)

    def lost(self) -> None:
        """It failed a read: leave it alone until it is known to be there."""
        self._unusable.inc()
        self._horizon.lost()

    def _missed(self, error: Exception) -> None:
        """Marks may be missing, here or of other instances, for as long as one lives."""
        if monotonic() >= self._blind_until:
            log.warning("the replica is not read, for marks of writes are lost: %r", error)
        self._blind_until = monotonic() + MARK_SECONDS

    async def watch(self) -> None:
        """Keep knowing how far the replica is. Ends by cancellation only."""
        well = True
        while True:
            try:
                async with (
                    _connect(self._dsns[0]) as server,
                    _connect(self._dsns[1]) as replica,
                ):
                    well = True
                    await self._compare(server, replica)
            except Exception as error:  # whatever it is, the replica may come back
                raise_if_cancelled()
                if well:
                    log.warning("the replica cannot be watched: %r", error)
                well = False
            self._horizon.lost()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _compare(self, server: aiopg.Connection, replica: aiopg.Connection) -> None:
        async with server.cursor() as here, replica.cursor() as there:
            while True:
                at = monotonic()
                self._horizon.asked(at, await _number(here, _FLUSHED) or 0)
                self._horizon.reached(await _number(there, _REPLAYED))
                try:
                    async with asyncio.timeout(CACHE_SECONDS):
                        await self._redis.ping()
                except FAILURES as error:
                    self._missed(error)
                raise_if_cancelled()
                await asyncio.sleep(_POLL_SECONDS)


def _connect(where: str) -> AbstractAsyncContextManager[aiopg.Connection]:
    connecting: AbstractAsyncContextManager[aiopg.Connection] = aiopg.connect(
        where, timeout=_TIMEOUT_SECONDS, connection_factory=Connection
    )
    return connecting


async def _number(cursor: aiopg.Cursor, sql: str) -> int | None:
    await cursor.execute(sql)
    row = await cursor.fetchone()
    return None if row is None else row[0]
