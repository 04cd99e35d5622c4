"""What the pool does when PostgreSQL is restarted, is slow, or is asked for too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing

import aiopg
import psycopg2
import pytest
from prometheus_client import REGISTRY

from services.kit.db import Database, Query, dsn, is_read, open_database
from services.kit.errors import ServiceError
from services.kit.resilience import deadline_from
from services.kit.settings import Settings
from tests.conftest import RunningStack
from tests.connected.people import settings_of, until

READ = Query("test_read", "SELECT 1, pg_backend_pid()")
SLOW = Query("test_slow", "SELECT pg_sleep(0.05)")


@pytest.fixture
def settings(stack: RunningStack) -> Settings:
    return settings_of("events", stack.stack, stack.state).model_copy(update={"instance": 99})


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings) as database:
        yield database


def _killed(settings: Settings) -> int:
    """End every connection of the pool, as a restart of PostgreSQL does; how many there were."""
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = %s AND pid <> pg_backend_pid()",
            (f"{settings.name}-{settings.instance}",),
        )
        return int(cursor.fetchone()[0])  # type: ignore[index]


def _connections(settings: Settings, what: str = "true") -> int:
    """How many connections the pool has of which something is true."""
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FILTER (WHERE {what}) FROM pg_stat_activity "
            "WHERE application_name = %s AND pid <> pg_backend_pid()",
            (f"{settings.name}-{settings.instance}",),
        )
        return int(cursor.fetchone()[0])  # type: ignore[index]


async def _fill(settings: Settings, database: Database) -> None:
    """Have the pool make both its connections."""
    while _connections(settings) < 2:
        await asyncio.gather(database.row(SLOW), database.row(SLOW))


async def _asleep(settings: Settings) -> int:
    """How many statements of the pool are in their `pg_sleep`."""
    return await asyncio.to_thread(_connections, settings, "wait_event = 'PgSleep'")


@pytest.mark.parametrize("noticed_seconds", [0.0, 0.1])
async def test_reads_outlive_their_connections(
    settings: Settings, database: Database, noticed_seconds: float
) -> None:
    await _fill(settings, database)
    assert _killed(settings) == 2
    await asyncio.sleep(noticed_seconds)
    rows = await asyncio.gather(*(database.row(READ) for _ in range(20)))
    assert [row[0] for row in rows if row] == [1] * 20


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT 1 FOR UPDATE"], ids=["read", "write"])
async def test_a_connection_that_dies_while_it_is_waited_for_is_passed_over(
    database: Database, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    fill = aiopg.Pool._fill_free_pool
    died: list[aiopg.Connection] = []

    async def fill_badly(pool: aiopg.Pool, override_min: bool) -> None:
        await fill(pool, override_min)
        if not died:
            died.append(pool._free[0])
            await pool._free[0].close()

    monkeypatch.setattr(aiopg.Pool, "_fill_free_pool", fill_badly)
    assert await database.row(Query("test", sql)) == (1,)
    assert len(died) == 1


async def test_a_read_that_is_cut_off_is_run_once_more(
    settings: Settings, database: Database
) -> None:
    reading = asyncio.create_task(database.row(Query("test", "SELECT 1, pg_sleep(2)")))
    await until(lambda: _asleep(settings), 1)
    assert _killed(settings) == 1
    row = await reading
    assert row is not None
    assert row[0] == 1


async def test_a_write_that_is_cut_off_is_not_run_again(
    settings: Settings, database: Database
) -> None:
    write = Query("test", "WITH gone AS (DELETE FROM outbox WHERE false) SELECT pg_sleep(4)")
    writing = asyncio.create_task(database.execute(write))
    await until(lambda: _asleep(settings), 1)
    assert _killed(settings) == 1
    with pytest.raises(ServiceError) as error:
        await writing
    assert (error.value.status, error.value.code) == (503, "database_unavailable")


async def test_overload_is_refused_at_once_and_ends(database: Database) -> None:
    answers: list[str] = []

    async def ask() -> None:
        try:
            await database.row(SLOW)
        except ServiceError as error:
            assert error.headers == {"Retry-After": "1"}
            answers.append(error.code)
        else:
            answers.append("well")

    await asyncio.gather(*(ask() for _ in range(1000)))
    refused = 1000 - 2 - 2 * 50  # two connections, and 50 that wait for each
    assert answers[:refused] == ["overloaded"] * refused, "before any other was answered"
    # Of the rest, those are served whose turn comes within the time that a wait may take.
    assert "well" in answers
    assert set(answers) <= {"well", "overloaded", "database_unavailable"}
    assert await database.row(READ)


async def test_nothing_is_asked_past_the_deadline(database: Database) -> None:
    with deadline_from("20"):
        await asyncio.sleep(0.03)
        with pytest.raises(ServiceError) as error:
            await database.row(READ)
    assert (error.value.status, error.value.code) == (504, "deadline_exceeded")


async def test_a_slow_query_is_counted_by_its_name(database: Database) -> None:
    await database.row(Query("test_pause", "SELECT pg_sleep(0.15)"))
    assert REGISTRY.get_sample_value("db_slow_queries_total", {"query": "test_pause"}) == 1


async def test_a_statement_ends_when_nobody_waits_for_it(settings: Settings) -> None:
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("6s",)


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT id, updated_at, deleted FROM posts", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (DELETE FROM posts RETURNING 1) SELECT * FROM a", False),
        ("SELECT 1 FROM posts FOR UPDATE", False),
        ("SELECT 1 FROM posts FOR SHARE", False),
        ("INSERT INTO posts SELECT 1", False),
        ("SELECT pg_try_advisory_lock(1)", False),
    ],
)
def test_what_reads_is_told_from_what_writes(sql: str, reads: bool) -> None:
    assert is_read(sql) is reads
