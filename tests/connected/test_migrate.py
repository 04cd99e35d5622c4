"""The migration job: repeatable, and roles that may do no more than they need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import psycopg2.errors
import pytest
from psycopg2.extensions import connection as Connection

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.stack.secrets import ensure_secrets
from tests.conftest import RunningStack


@contextmanager
def _connected(stack: RunningStack, database: str, role: str) -> Iterator[Connection]:
    secrets = ensure_secrets(stack.state)
    with closing(
        psycopg2.connect(
            host=stack.stack.postgres.host,
            port=stack.stack.postgres.port,
            dbname=database,
            user=role,
            password=secrets.get("migrate", f"{role}_password"),
        )
    ) as connection:
        connection.autocommit = True
        yield connection


def _migrate(stack: RunningStack, **changes: str) -> subprocess.CompletedProcess[str]:
    postgres = stack.stack.postgres
    environment = {
        **os.environ,
        "MIGRATE_DATABASE_HOST": postgres.host,
        "MIGRATE_DATABASE_PORT": str(postgres.port),
        "MIGRATE_DATABASE_USER": "pulse",
        "MIGRATE_SECRETS_DIR": str(ensure_secrets(stack.state).owned_by("migrate")),
        **changes,
    }
    return subprocess.run(
        [sys.executable, "-m", "services.migrate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_job_may_be_repeated(stack: RunningStack) -> None:
    again = _migrate(stack)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_the_application_changes_rows_but_no_schema(stack: RunningStack, service: str) -> None:
    forbidden = (
        "CREATE TABLE intruder (id int)",
        "DROP TABLE outbox",
        "ALTER TABLE outbox ADD COLUMN more int",
        "TRUNCATE outbox",
        "SELECT name FROM migrations",
        "CREATE ROLE intruder",
    )
    with _connected(stack, service, f"{service}_app") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM outbox")
        for statement in forbidden:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_a_service_cannot_enter_another_database(stack: RunningStack) -> None:
    with (
        pytest.raises(psycopg2.OperationalError, match="permission denied for database"),
        _connected(stack, "users", "posts_app"),
    ):
        pass


def test_a_migration_that_changed_after_it_ran_is_refused(stack: RunningStack) -> None:
    with _connected(stack, "users", "users_owner") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, sha256 FROM migrations WHERE name LIKE 'users/%'")
        (name, digest), *_ = cursor.fetchall()
        cursor.execute("UPDATE migrations SET sha256 = 'another' WHERE name = %s", (name,))
        try:
            refused = _migrate(stack)
        finally:
            cursor.execute("UPDATE migrations SET sha256 = %s WHERE name = %s", (digest, name))

    assert refused.returncode == 1
    assert f"users/{name} was applied and has changed since" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_wrong_setting_is_one_sentence(stack: RunningStack) -> None:
    wrong = _migrate(stack, MIGRATE_DATABASE_PORT="ninety")

    assert wrong.returncode == 1
    assert "database_port" in wrong.stderr
    assert "Traceback" not in wrong.stderr
