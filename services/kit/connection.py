"""Connections to PostgreSQL that may fail under uvloop, again and again."""

from __future__ import annotations

import asyncio

import psycopg2
from psycopg2.extensions import connection

_WELL = 0
"""Libpq's CONNECTION_OK."""


class Connection(connection):
    """Takes its socket off the event loop when it fails; to be given as `connection_factory`.

    aiopg leaves it there (issue 909), and uvloop then refuses whatever gets the socket's number
    next: once PostgreSQL was away, connections would go on failing when it is back.
    """

    def poll(self) -> int:
        """Go on with what is under way."""
        socket = self.fileno()  # libpq may close it
        try:
            return super().poll()
        except psycopg2.Error:
            if self.info.status != _WELL:
                loop = asyncio.get_running_loop()
                loop.remove_reader(socket)
                loop.remove_writer(socket)
            raise
