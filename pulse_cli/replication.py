"""How far a read replica is behind its server."""

from __future__ import annotations

import time
from contextlib import closing

import psycopg2

from pulse_cli.errors import NotHealthy
from pulse_cli.programs import SUPERUSER
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import OPERATOR, Secrets

BOUND_SECONDS = 1.5
"""How long to wait for the replica; the services turn from one that is 2 s behind."""
POLL_SECONDS = 0.01

_FLUSHED = "SELECT pg_current_wal_flush_lsn()"
_REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"


def lag(stack: Stack, secrets: Secrets) -> float:
    """Return after how many seconds the replica has what its server has now.

    Raises:
        NotHealthy: one of the two cannot be asked, it is no replica, or it does not have it after
            `BOUND_SECONDS`.
    """
    password = secrets.get(OPERATOR, "superuser_password")
    begun = time.monotonic()
    try:
        (position,) = _asked(stack, password, stack.postgres.port, _FLUSHED, ())
        while time.monotonic() - begun < BOUND_SECONDS:
            asked = _asked(stack, password, stack.postgres.replica_port, _REPLAYED, (position,))
            if asked == (True,):
                return time.monotonic() - begun
            if asked == (None,):
                raise NotHealthy("is no replica: it replays nothing")
            time.sleep(POLL_SECONDS)
    except psycopg2.Error as error:
        raise NotHealthy(" ".join(str(error).split())) from None
    raise NotHealthy(f"more than {BOUND_SECONDS:g} s behind")


def _asked(
    stack: Stack, password: str, port: int, query: str, values: tuple[object, ...]
) -> tuple[object, ...]:
    with (
        closing(
            psycopg2.connect(
                host=stack.postgres.host,
                port=port,
                dbname="postgres",
                user=SUPERUSER,
                password=password,
                connect_timeout=2,
                gssencmode="disable",
                application_name="pulse health",
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query, values)
        row: tuple[object, ...] | None = cursor.fetchone()
        return row or ()
