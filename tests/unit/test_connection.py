"""Connections to a PostgreSQL that is not there."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import aiopg
import psycopg2
import pytest

from services.kit import db
from services.kit.connection import Connection
from tests.ports import closed_port


@pytest.mark.skipif(sys.platform == "win32", reason="has no uvloop")
@pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
def test_a_failed_connection_does_not_spoil_the_next_under_uvloop() -> None:
    import uvloop

    async def attempt(port: int) -> str:
        where = f"host=127.0.0.1 port={port} gssencmode=disable"
        try:
            await aiopg.connect(where, timeout=5.0, connection_factory=Connection)
        except psycopg2.OperationalError as error:
            return str(error)
        return "connected"

    async def attempts() -> list[str]:
        said = []
        with closed_port() as port:
            for _ in range(5):
                said.append(await attempt(port))
                await asyncio.sleep(0.05)  # the loop notices what became of the socket
        return said

    loop = uvloop.new_event_loop()
    try:
        said = loop.run_until_complete(attempts())
    finally:
        loop.close()
    assert all("refused" in one for one in said)


class Starting:
    """A pool of a server that refuses some connections first."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.released: list[str] = []

    async def acquire(self) -> str:
        if self.refusals:
            self.refusals -= 1
            raise psycopg2.OperationalError("the database system is starting up")
        return "connection"

    async def release(self, connection: str) -> None:
        self.released.append(connection)


async def test_who_starts_waits_for_postgresql_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "_START_PAUSE_SECONDS", 0.0)
    pool = Starting(refusals=3)
    await db._answering(cast("aiopg.Pool", pool))
    assert pool.released == ["connection"]
    monkeypatch.setattr(db, "_START_SECONDS", -1.0)
    with pytest.raises(psycopg2.OperationalError):
        await db._answering(cast("aiopg.Pool", Starting(refusals=1)))
