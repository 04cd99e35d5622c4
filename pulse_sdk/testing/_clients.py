"""Clients that carry out the steps of a call with a fake: without a network, without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import httpx

from pulse_sdk._async_connection import AsyncConnection
from pulse_sdk._connection import Connection
from pulse_sdk._flow import OpenSocket, Send, Sleep, Step
from pulse_sdk.client import AsyncPulse, Pulse
from pulse_sdk.testing._changes import Changes
from pulse_sdk.testing._sockets import AsyncSocket, Socket, Sockets

_perform = Pulse._perform
_perform_async = AsyncPulse._perform


class Clients:
    """Makes the clients of a fake."""

    def __init__(
        self, sockets: Sockets, changes: Changes, patience: float, wait: Callable[[float], None]
    ) -> None:
        self._sockets = sockets
        self._changes = changes
        self._patience = patience
        self._wait = wait
        # A view is made by its client's class alone, so that is what knows the fake.
        self.blocking: type[Pulse] = type(
            "FakedPulse", (Pulse,), {"_perform": self._performing(None)}
        )
        self.asynchronous: type[AsyncPulse] = type(
            "FakedAsyncPulse", (AsyncPulse,), {"_perform": self._performing_async(None)}
        )

    @contextmanager
    def everywhere(self, transport: httpx.MockTransport) -> Iterator[None]:
        """Have all clients send to the fake."""
        blocking = Connection(httpx.Client(transport=transport))
        asynchronous = AsyncConnection(httpx.AsyncClient(transport=transport))
        with (
            patch.object(Pulse, "_perform", self._performing(blocking)),
            patch.object(AsyncPulse, "_perform", self._performing_async(asynchronous)),
        ):
            yield

    def _performing(self, connection: Connection | None) -> Callable[[Pulse, Step], Any]:
        def perform(client: Pulse, step: Step) -> Any:
            match step:
                case Send() if connection is not None:
                    return connection.send(step)
                case Sleep():
                    return self._wait(step.seconds)
                case OpenSocket():
                    line, position = self._sockets.open(step)
                    return Socket(line, self._changes, self._patience), position
            return _perform(client, step)

        return perform

    def _performing_async(
        self, connection: AsyncConnection | None
    ) -> Callable[[AsyncPulse, Step], Any]:
        async def perform(client: AsyncPulse, step: Step) -> Any:
            match step:
                case Send() if connection is not None:
                    return await connection.send(step)
                case Sleep():
                    self._wait(step.seconds)
                    return await asyncio.sleep(0)
                case OpenSocket():
                    line, position = self._sockets.open(step)
                    return AsyncSocket(line, self._changes, self._patience), position
            return await _perform_async(client, step)

        return perform
