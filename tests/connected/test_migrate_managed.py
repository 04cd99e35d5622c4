"""The migration job as somebody who is no superuser: all that a cloud's database gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from pulse_cli.components import find_binaries
from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.stack.secrets import ensure_secrets
from pulse_cli.targets import probes
from pulse_cli.targets.local.postgres import initialise, ordinary_user
from tests.ports import free_port

START_SECONDS = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a server with a role `cloud` that may make roles and databases."""
    state = tmp_path / ".pulse"
    password = ensure_secrets(state).get("operator", "superuser_password")
    binaries = find_binaries(state).postgres_bin
    initialise(binaries, state, password)
    port = free_port()
    command = [*ordinary_user(), str(binaries / "postgres"), "-D", str(state / "data" / "postgres")]
    options = [f"--port={port}", "--listen_addresses=127.0.0.1", "--unix_socket_directories="]
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not probes.postgres("127.0.0.1", port).ready:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            with (
                closing(_connect(port, "postgres", "pulse", password)) as admin,
                admin.cursor() as cursor,
            ):
                admin.autocommit = True
                cursor.execute(
                    "CREATE ROLE cloud LOGIN CREATEROLE CREATEDB PASSWORD %s", (password,)
                )
            yield port
        finally:
            process.send_signal(signal.SIGINT)


def _connect(port: int, database: str, user: str, password: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host="127.0.0.1", port=port, dbname=database, user=user, password=password
    )


def _migrate(port: int, state: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "MIGRATE_DATABASE_HOST": "127.0.0.1",
        "MIGRATE_DATABASE_PORT": str(port),
        "MIGRATE_DATABASE_USER": "cloud",
        "MIGRATE_SECRETS_DIR": str(ensure_secrets(state).owned_by("migrate")),
    }
    return subprocess.run(
        [sys.executable, "-m", "services.migrate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def test_whoever_may_make_roles_and_databases_may_migrate(server: int, tmp_path: Path) -> None:
    state = tmp_path / ".pulse"
    first = _migrate(server, state)
    assert (first.returncode, first.stderr) == (0, "")
    again = _migrate(server, state)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    for service in SERVICE_NAMES:
        password = ensure_secrets(state).get("migrate", f"{service}_app_password")
        with (
            closing(_connect(server, service, f"{service}_app", password)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT count(*) FROM outbox")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("CREATE TABLE intruder (id int)")
