"""PostgreSQL through aiopg: named queries on a bounded pool, lists from a replica if there is one.

A statement runs in its own transaction; what must be atomic is written as one statement (data-
modifying CTEs), which costs one round trip where BEGIN and COMMIT would cost three.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, cast
from uuid import UUID

import aiopg
import psycopg2
import psycopg2.extras
from psycopg2.extensions import make_dsn
from redis.asyncio import Redis

from services.kit.connection import Connection
from services.kit.errors import ServiceError
from services.kit.observe import POOL, POOL_WAIT, QUERIES, READS, SHED, SLOW_QUERIES
from services.kit.replica import Replica, caller
from services.kit.resilience import within
from services.kit.settings import Settings
from services.kit.tasks import ended, raise_if_cancelled

_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0
_QUERY_SECONDS = 5.0
_REPLICA_SECONDS = 1.0
"""How long the replica may take for a read before the server is asked instead."""
_SLOW_SECONDS = 0.1
_STATEMENT_MILLISECONDS = 6_000
"""PostgreSQL ends what its client has given up: later than the client does, so that aiopg never
sees the cancelling, which it would take for the task's own."""

_START_SECONDS = 30.0
"""How long a service that starts waits for PostgreSQL, which may be starting as well: who ends at
once, and again, may not be started any more."""

_START_PAUSE_SECONDS = 0.3

_WAITING_PER_CONNECTION = 50
"""Statements that may wait for a connection, for each there may be: some 50 ms of a busy second.
A queue that is longer would make everybody late; who would be its last is refused instead."""

log = logging.getLogger(__name__)

Params = Mapping[str, Any]
Row = tuple[Any, ...]
_Take = Callable[[aiopg.Cursor], Awaitable[object]]

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]


class Query(NamedTuple):
    """A statement and the name it has in metrics; parameters are written `%(name)s`."""

    name: str
    sql: str


def dsn(
    settings: Settings, host: str | None = None, port: int | None = None, *, session: bool = False
) -> str:
    """Libpq's connection string of the service's own database, on another host if one is given.

    A `session` is not shared with other clients, also where a pooler divides connections.
    """
    return make_dsn(
        host=host or settings.database_host,
        port=port or settings.database_port,
        dbname=settings.database_name + (settings.database_session_suffix if session else ""),
        user=settings.database_user,
        password=settings.database_password.get_secret_value(),
        sslmode=settings.database_sslmode,
        sslrootcert=settings.store_ca,
        gssencmode="disable",
        options=f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
        application_name=f"{settings.name}-{settings.instance}",
    )


class Database:
    """The service's database.

    Every method raises ServiceError: 503 when PostgreSQL is away or more wait for it than it could
    serve in time, 504 when the caller's deadline is over. A read whose connection turns out to be
    dead is run once more on another one; a write is not, for it may have been committed.
    """

    def __init__(
        self, server: _Server, standby: _Server | None = None, replica: Replica | None = None
    ) -> None:
        self._server = server
        self._standby = standby
        self._replica = replica

    async def rows(self, query: Query, params: Params | None = None) -> list[Row]:
        """Every row of the answer."""
        return cast("list[Row]", await self._answer(query, params, aiopg.Cursor.fetchall))

    async def row(self, query: Query, params: Params | None = None) -> Row | None:
        """The first row of the answer, None when there is none."""
        return cast("Row | None", await self._answer(query, params, aiopg.Cursor.fetchone))

    async def execute(self, query: Query, params: Params | None = None) -> int:
        """Run it; the number of rows it touched."""
        return cast("int", await self._answer(query, params, _rowcount))

    async def read(self, query: Query, params: Params | None = None) -> list[Row]:
        """Every row of a list, from the replica if it has all that the calling user wrote.

        What others wrote may be missing for `replica.LAG_SECONDS`. So it is not for what fills a
        cache or is written back, and not for whether somebody may do something.
        """
        if self._standby is None or self._replica is None:
            return await self.rows(query, params)
        if await self._replica.serves(caller.get()):
            try:
                found = await self._standby.answer(query, params, aiopg.Cursor.fetchall)
            except ServiceError as error:
                if error.status is HTTPStatus.GATEWAY_TIMEOUT:
                    raise
                self._replica.lost()
            else:
                READS.labels("replica").inc()
                return cast("list[Row]", found)
        READS.labels("primary").inc()
        return await self.rows(query, params)

    async def wrote_for(self, users: Iterable[UUID]) -> None:
        """Have users see what was just written, as if it were by themselves."""
        if self._replica is not None:
            await self._replica.wrote(users)

    async def ping(self) -> None:
        """Ask for an answer."""
        await self.row(_PING)

    async def _answer(self, query: Query, params: Params | None, take: _Take) -> object:
        found = await self._server.answer(query, params, take)
        if self._replica is not None and not is_read(query.sql):
            user = caller.get()
            if user is not None:
                await self._replica.wrote((user,))
        return found


class _Server:
    """A bounded queue before a pool of connections to one server."""

    def __init__(self, pool: aiopg.Pool, name: str, query_seconds: float) -> None:
        self._pool = pool
        self._query_seconds = query_seconds
        self._waiting = 0
        self._most_waiting = _WAITING_PER_CONNECTION * (pool.maxsize or 1)
        POOL.labels(name, "in_use").set_function(lambda: pool.size - pool.freesize)
        POOL.labels(name, "idle").set_function(lambda: pool.freesize)

    async def answer(self, query: Query, params: Params | None, take: _Take) -> object:
        """What `take` makes of the answer."""
        try:
            try:
                return await self._once(query, params, take)
            except _ConnectionLostError as lost:
                if not is_read(query.sql):
                    raise lost.error from None
                # It may have been dead since PostgreSQL was restarted; so may the other idle ones.
                await self._pool.clear()
                return await self._once(query, params, take)
        except _ConnectionLostError as lost:
            raise ServiceError.unavailable("database") from lost.error
        except (psycopg2.OperationalError, psycopg2.InterfaceError, TimeoutError) as error:
            raise ServiceError.unavailable("database") from error

    async def _once(self, query: Query, params: Params | None, take: _Take) -> object:
        connection = await self._connection()
        try:
            async with connection.cursor() as cursor:
                within(self._query_seconds)  # waiting may have taken what was left
                started = time.perf_counter()
                try:
                    await cursor.execute(query.sql, params, timeout=self._query_seconds)
                except psycopg2.Error as error:
                    if connection.closed:
                        raise _ConnectionLostError(error) from None
                    raise
                _observe(query.name, time.perf_counter() - started)
                raise_if_cancelled()
                return await take(cursor)
        finally:
            await self._pool.release(connection)

    async def _connection(self) -> aiopg.Connection:
        """A connection, to be released, after a bounded wait in a bounded queue."""
        within(_CONNECT_SECONDS)
        if self._waiting >= self._most_waiting:
            SHED.inc()
            raise ServiceError.overloaded()
        self._waiting += 1
        asked = None if self._pool.freesize else time.perf_counter()
        try:
            # Not cut short at the caller's deadline: a connect must not be cancelled half-way.
            return await self._alive()
        finally:
            self._waiting -= 1
            if asked is not None:
                POOL_WAIT.observe(time.perf_counter() - asked)

    async def _alive(self) -> aiopg.Connection:
        """A connection of the pool's, which fails an assertion where it meets one that is dead.

        One dies among the free ones while the pool waits for another; it is out of the pool then.
        """
        for _ in range(1 + (self._pool.maxsize or 0)):
            with suppress(AssertionError):
                return await self._pool.acquire()
        raise psycopg2.OperationalError("every connection died before it could be used")


class _ConnectionLostError(Exception):
    """The connection was or went dead."""

    def __init__(self, error: psycopg2.Error) -> None:
        super().__init__(str(error))
        self.error = error


async def _rowcount(cursor: aiopg.Cursor) -> int:
    return int(cursor.rowcount)


@lru_cache(maxsize=1024)
def is_read(sql: str) -> bool:
    """Whether a statement changes nothing and locks nothing, so that it may be run again."""
    return _CHANGES.search(sql) is None


_CHANGES = re.compile(
    r"\b(insert|update|delete|merge|truncate|lock|share|call|do|nextval|setval|pg_\w*lock\w*)\b",
    re.IGNORECASE,
)
_PING = Query("ping", "SELECT 1")
_timers: dict[str, Any] = {}


def _observe(name: str, seconds: float) -> None:
    timer = _timers.get(name)
    if timer is None:
        timer = _timers[name] = QUERIES.labels(name)
    timer.observe(seconds)
    if seconds > _SLOW_SECONDS:
        SLOW_QUERIES.labels(name).inc()
        log.warning("query %s took %.3f s", name, seconds)


@asynccontextmanager
async def open_database(settings: Settings, redis: Redis | None = None) -> AsyncIterator[Database]:
    """Open the pool, waiting for PostgreSQL to answer, and close it in the end.

    The replica, if the settings name one, is used as soon as it is there; without Redis it is not.

    Raises:
        psycopg2.OperationalError, TimeoutError: PostgreSQL does not answer for half a minute.
    """
    async with _pool(dsn(settings), settings) as pool:
        await _answering(pool)
        server = _Server(pool, "primary", _QUERY_SECONDS)
        if settings.replica_host is None or redis is None:
            yield Database(server)
            return
        where = dsn(settings, settings.replica_host, settings.replica_port)
        name = f"{settings.replica_host}:{settings.replica_port}"
        replica = Replica(redis, settings.name, server=dsn(settings), replica=where, name=name)
        async with _pool(where, settings) as standby:
            watching = asyncio.create_task(replica.watch())
            try:
                yield Database(server, _Server(standby, "replica", _REPLICA_SECONDS), replica)
            finally:
                await ended(watching)


async def _answering(pool: aiopg.Pool) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            await pool.release(await pool.acquire())
            return
        except (psycopg2.OperationalError, TimeoutError) as error:
            if time.monotonic() > until:
                raise
            log.warning("PostgreSQL does not answer yet: %s", str(error).strip())
        await asyncio.sleep(_START_PAUSE_SECONDS)


def _pool(where: str, settings: Settings) -> AbstractAsyncContextManager[aiopg.Pool]:
    pool: AbstractAsyncContextManager[aiopg.Pool] = aiopg.create_pool(
        where,
        minsize=0,
        maxsize=settings.pool_size,
        timeout=_CONNECT_SECONDS,
        pool_recycle=_IDLE_SECONDS,
        enable_hstore=False,
        enable_json=False,  # psycopg2 knows jsonb and, registered above, uuid for all connections
        enable_uuid=False,
        connection_factory=Connection,
    )
    return pool
