"""PostgreSQL through aiopg: named queries on a bounded pool.

A statement runs in its own transaction; what must be atomic is written as one statement (data-
modifying CTEs), which costs one round trip where BEGIN and COMMIT would cost three.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiopg
import psycopg2
import psycopg2.extras
from psycopg2.extensions import make_dsn

from services.kit.errors import ServiceError
from services.kit.observe import POOL, QUERIES
from services.kit.settings import Settings

_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0
_QUERY_SECONDS = 5.0

Params = Mapping[str, Any]
Row = tuple[Any, ...]

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
        application_name=f"{settings.name}-{settings.instance}",
    )


class Database:
    """A pool of connections. Every method raises ServiceError 503 when PostgreSQL is away."""

    def __init__(self, pool: aiopg.Pool) -> None:
        self._pool = pool
        POOL.labels("in_use").set_function(lambda: pool.size - pool.freesize)
        POOL.labels("idle").set_function(lambda: pool.freesize)

    async def rows(self, query: Query, params: Params | None = None) -> list[Row]:
        """Every row of the answer."""
        async with self._executed(query, params) as cursor:
            rows: list[Row] = await cursor.fetchall()
            return rows

    async def row(self, query: Query, params: Params | None = None) -> Row | None:
        """The first row of the answer, None when there is none."""
        async with self._executed(query, params) as cursor:
            row: Row | None = await cursor.fetchone()
            return row

    async def execute(self, query: Query, params: Params | None = None) -> int:
        """Run it; the number of rows it touched."""
        async with self._executed(query, params) as cursor:
            return int(cursor.rowcount)

    async def ping(self) -> None:
        """Ask for an answer."""
        await self.row(_PING)

    @asynccontextmanager
    async def _executed(self, query: Query, params: Params | None) -> AsyncIterator[aiopg.Cursor]:
        try:
            async with self._pool.acquire() as connection, connection.cursor() as cursor:
                started = time.perf_counter()
                await cursor.execute(query.sql, params, timeout=_QUERY_SECONDS)
                _observe(query.name, time.perf_counter() - started)
                yield cursor
        except (psycopg2.OperationalError, psycopg2.InterfaceError, TimeoutError) as error:
            raise ServiceError.unavailable("database") from error


_PING = Query("ping", "SELECT 1")
_timers: dict[str, Any] = {}


def _observe(name: str, seconds: float) -> None:
    timer = _timers.get(name)
    if timer is None:
        timer = _timers[name] = QUERIES.labels(name)
    timer.observe(seconds)


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
