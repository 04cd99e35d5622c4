"""`pulse db explain` holds PostgreSQL to the indexes of the hot queries."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from pulse_cli.stack.secrets import OPERATOR, ensure_secrets
from services.explain import hot
from services.migrate import SERVICES
from tests.conftest import RunningStack, pulse


@contextmanager
def renamed(stack: RunningStack, database: str, index: str) -> Iterator[None]:
    """An index under another name, as one that was forgotten."""
    server = stack.stack.postgres
    with (
        closing(
            psycopg2.connect(
                host=server.host,
                port=server.port,
                dbname=database,
                user="pulse",
                password=ensure_secrets(stack.state).get(OPERATOR, "superuser_password"),
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True
        cursor.execute(f"ALTER INDEX {index} RENAME TO forgotten")
        try:
            yield
        finally:
            cursor.execute(f"ALTER INDEX forgotten RENAME TO {index}")


def test_every_hot_query_is_answered_from_its_index(stack: RunningStack) -> None:
    done = stack.pulse("db", "explain", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["queries"]
    assert [(one["service"], one["query"]) for one in found] == [
        (service, one.name) for service in SERVICES for one in hot(service).queries
    ]


def test_a_missing_index_fails_and_is_named(stack: RunningStack) -> None:
    with renamed(stack, "posts", "posts_by_author"):
        done = stack.pulse("db", "explain")
    assert done.returncode == 3
    assert "not answered from the expected index: posts.posts_by_author" in done.stderr
    assert "posts_by_author" in done.stdout


def test_without_a_stack_there_is_nothing_to_explain(tmp_path: Path) -> None:
    done = pulse(tmp_path, "db", "explain")
    assert done.returncode == 6
    assert "no stack is running" in done.stderr
