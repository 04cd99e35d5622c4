"""PostgreSQL through aiopg: named queries on a bounded pool.

A statement runs in its own transaction; what must be atomic is written as one statement (data-
modifying CTEs), which costs one round trip where BEGIN and COMMIT would cost three.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, NamedTuple, cast

import aiopg
import psycopg2
import psycopg2.extras
from psycopg2.extensions import make_dsn

from services.kit.errors import ServiceError
from services.kit.observe import POOL, POOL_WAIT, QUERIES, SHED, SLOW_QUERIES
from services.kit.resilience import within
from services.kit.settings import Settings
from services.kit.tasks import raise_if_cancelled

_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0
_QUERY_SECONDS = 5.0
_SLOW_SECONDS = 0.1
_STATEMENT_MILLISECONDS = 6_000
"""PostgreSQL ends what its client has given up: later than the client does, so that aiopg never
sees the cancelling, which it would take for the task's own."""

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


def dsn(settings: Settings) -> str:
    """Libpq's connection string of the service's own database."""
    return make_dsn(
        host=settings.database_host,
        port=settings.database_port,
        dbname=settings.database_name,
        user=settings.database_user,
        password=settings.database_password.get_secret_value(),
        sslmode=settings.database_sslmode,
        gssencmode="disable",
        options=f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
        application_name=f"{settings.name}-{settings.instance}",
    )


class Database:
    """A pool of connections.

    Every method raises ServiceError: 503 when PostgreSQL is away or more wait for it than it could
    serve in time, 504 when the caller's deadline is over. A read whose connection turns out to be
    dead is run once more on another one; a write is not, for it may have been committed.
    """

    def __init__(self, pool: aiopg.Pool) -> None:
        self._pool = pool
        self._waiting = 0
        self._most_waiting = _WAITING_PER_CONNECTION * (pool.maxsize or 1)
        POOL.labels("in_use").set_function(lambda: pool.size - pool.freesize)
        POOL.labels("idle").set_function(lambda: pool.freesize)

    async def rows(self, query: Query, params: Params | None = None) -> list[Row]:
        """Every row of the answer."""
        return cast("list[Row]", await self._answer(query, params, aiopg.Cursor.fetchall))

    async def row(self, query: Query, params: Params | None = None) -> Row | None:
        """The first row of the answer, None when there is none."""
        return cast("Row | None", await self._answer(query, params, aiopg.Cursor.fetchone))

    async def execute(self, query: Query, params: Params | None = None) -> int:
        """Run it; the number of rows it touched."""
        return cast("int", await self._answer(query, params, _rowcount))

    async def ping(self) -> None:
        """Ask for an answer."""
        await self.row(_PING)

    async def _answer(self, query: Query, params: Params | None, take: _Take) -> object:
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
        async with self._connection() as connection, connection.cursor() as cursor:
            within(_QUERY_SECONDS)  # waiting may have taken what was left
            started = time.perf_counter()
            try:
                await cursor.execute(query.sql, params, timeout=_QUERY_SECONDS)
            except psycopg2.Error as error:
                if connection.closed:
                    raise _ConnectionLostError(error) from None
                raise
            _observe(query.name, time.perf_counter() - started)
            raise_if_cancelled()
            return await take(cursor)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiopg.Connection]:
        """A connection, after a bounded wait in a bounded queue."""
        within(_CONNECT_SECONDS)
        if self._waiting >= self._most_waiting:
            SHED.inc()
            raise ServiceError.overloaded()
        self._waiting += 1
        asked = None if self._pool.freesize else time.perf_counter()
        try:
            # Not cut short at the caller's deadline: a connect must not be cancelled half-way.
            connection = await self._pool.acquire()
        finally:
            self._waiting -= 1
            if asked is not None:
                POOL_WAIT.observe(time.perf_counter() - asked)
        try:
            yield connection
        finally:
            await self._pool.release(connection)


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
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the pool, waiting for PostgreSQL to answer, and close it in the end."""
    async with aiopg.create_pool(
        dsn(settings),
        minsize=1,
        maxsize=settings.pool_size,
        timeout=_CONNECT_SECONDS,
        pool_recycle=_IDLE_SECONDS,
        enable_hstore=False,
        enable_json=False,  # psycopg2 knows jsonb and, registered above, uuid for all connections
        enable_uuid=False,
    ) as pool:
        yield Database(pool)
