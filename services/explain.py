"""Asks PostgreSQL how it answers each hot query; a one-shot job: `python -m services.explain`.

It prints one JSON object and changes nothing but the planner's statistics. A table may be so small
that reading it whole is cheapest; then the query is explained again as if the table were large, so
that an index that cannot answer it is noticed before the table grows.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extras
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from pydantic import ValidationError

from services.kit.db import Query
from services.kit.hot import Hot, HotQuery, parameters
from services.migrate import SERVICES, MigrateSettings

_CONNECT_SECONDS = 5
_SMALL_ROWS = 10_000
"""Below so many rows a table fits in a hundred pages or so, and reading all of them may be cheapest
for a query that asks for many (the followers of a hundred authors)."""

_LARGE_ROWS = 10_000_000
# The planner multiplies a table's pages by the density that is written down; of an empty table it
# knows no more than that it is small, unless it seems never to have been analysed (-1).
_LARGE = """UPDATE pg_class SET
    relpages = CASE WHEN pg_relation_size(oid) = 0 THEN 0 ELSE 1 END,
    reltuples = CASE WHEN pg_relation_size(oid) = 0 THEN -1 ELSE %(large)s END
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples < %(small)s"""
# What was sampled of a few rows (all of one post, say) would not be so of many.
_UNSAMPLED = """DELETE FROM pg_statistic WHERE starelid IN (
    SELECT oid FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND reltuples < %(small)s)"""


class ExplainError(Exception):
    """What a service says of its hot queries cannot be asked."""


def hot(service: str) -> Hot:
    """What a service says of its hot queries."""
    found: Hot = importlib.import_module(f"services.{service}.hot").HOT
    return found


def queries(service: str) -> dict[str, Query]:
    """Every named query of a service, wherever in its package it is."""
    package = importlib.import_module(f"services.{service}")
    modules = [
        importlib.import_module(f"services.{service}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "__main__"
    ]
    found = [one for module in modules for one in vars(module).values() if isinstance(one, Query)]
    return {query.name: query for query in (*found, *hot(service).built)}


def explain(settings: MigrateSettings) -> list[dict[str, Any]]:
    """How PostgreSQL answers each hot query, by service.

    Raises:
        ExplainError: a hot query is not there, or has a parameter that nobody gives a value for.
        psycopg2.Error: PostgreSQL cannot be reached or refuses.
    """
    return [answer for service in SERVICES for answer in _service(settings, service)]


def _service(settings: MigrateSettings, service: str) -> Iterator[dict[str, Any]]:
    told, known = hot(service), queries(service)
    with closing(_connect(settings, service)) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for one in told.queries:
            query = known.get(one.name)
            if query is None:
                raise ExplainError(f"services/{service} has no query {one.name!r}")
            values = _values(cursor, service, told, query)
            yield {"service": service, **_judged(cursor, one, query, values)}


def _connect(settings: MigrateSettings, database: str) -> Connection:
    psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]
    connection = psycopg2.connect(
        host=settings.database_host,
        port=settings.database_port,
        dbname=database,
        user=settings.database_user,
        password=settings.superuser_password.get_secret_value(),
        connect_timeout=_CONNECT_SECONDS,
        application_name="explain",
    )
    connection.autocommit = True
    return connection


def _values(cursor: Cursor, service: str, told: Hot, query: Query) -> dict[str, Any]:
    names = parameters(query.sql)
    if not names:
        return {}
    if missing := [name for name in names if name not in told.parameters]:
        raise ExplainError(
            f"services/{service}/hot.py gives no value for {', '.join(missing)} of {query.name!r}"
        )
    cursor.execute("SELECT " + ", ".join(told.parameters[name] for name in names))
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return dict(zip(names, row, strict=True))


def _judged(cursor: Cursor, one: HotQuery, query: Query, values: dict[str, Any]) -> dict[str, Any]:
    plan = _plan(cursor, query, values)
    read_whole = _read_whole(cursor, plan)
    good = _answers(one, plan) and not read_whole
    small = not good and _rows(cursor, one.table) < _SMALL_ROWS
    if small:
        plan = _plan_as_if_large(cursor, query, values)
        good = _answers(one, plan)
    return {
        "query": one.name,
        "table": one.table,
        "index": one.index,
        "used": sorted(_indexes(plan)),
        "read_whole": read_whole,
        "small": small,
        "cost": plan["Total Cost"],
        "ok": good,
    }


def _answers(one: HotQuery, plan: dict[str, Any]) -> bool:
    return not _indexes(plan).isdisjoint({one.index, one.or_index})


def _rows(cursor: Cursor, table: str) -> float:
    cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", (table,))
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - the cast has failed if there is no such table
    return float(row[0])


def _plan_as_if_large(cursor: Cursor, query: Query, values: dict[str, Any]) -> dict[str, Any]:
    """The plan with the planner told, until the rollback, that small tables are densely full."""
    cursor.execute("BEGIN")
    try:
        cursor.execute(_UNSAMPLED, {"small": _SMALL_ROWS})
        cursor.execute(_LARGE, {"small": _SMALL_ROWS, "large": _LARGE_ROWS})
        cursor.execute("SET LOCAL enable_seqscan = off")
        return _plan(cursor, query, values)
    finally:
        cursor.execute("ROLLBACK")


def _plan(cursor: Cursor, query: Query, values: dict[str, Any]) -> dict[str, Any]:
    cursor.execute("EXPLAIN (FORMAT JSON) " + query.sql, values)
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN answers or fails
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in _nodes(plan) if "Index Name" in node}


def _read_whole(cursor: Cursor, plan: dict[str, Any]) -> list[str]:
    """The tables that the plan reads whole though they are large."""
    tables = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
    return sorted(table for table in tables if _rows(cursor, table) >= _SMALL_ROWS)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def main() -> None:
    """Entry point; exits 1 with one sentence when PostgreSQL cannot be asked."""
    try:
        settings = MigrateSettings(_secrets_dir=os.environ.get("MIGRATE_SECRETS_DIR"))
        print(json.dumps({"queries": explain(settings)}))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        sys.exit(f"wrong settings (MIGRATE_* and files in MIGRATE_SECRETS_DIR): {wrong}")
    except (ExplainError, psycopg2.Error, OSError) as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
