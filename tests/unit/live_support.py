"""A small server of frames on the loopback interface, and a proxy that can fall silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pulse_sdk import AsyncPulse, Backoff, Pulse, Retries, TokenSource

ID = "0190b6f0-0000-7000-8000-000000000001"
QUICK = Retries(limit=1, backoff=Backoff(first=0.001, most=0.01))


def frame(text: str, position: int = 1) -> str:
    message = {"id": ID, "conversation_id": ID, "sender_id": ID, "text": text}
    message["created_at"] = "2026-01-01T00:00:00Z"
    return json.dumps({"type": "message", "position": position, "data": message})


class Gateway:
    """Refuses handshakes with the scripted statuses, then serves one script per connection."""

    def __init__(self) -> None:
        self.refusals: list[HTTPStatus] = []
        self.seen: list[str | None] = []
        self.knocks: asyncio.Queue[str] = asyncio.Queue()
        self.connections: list[Callable[[ServerConnection], Awaitable[Any]]] = []
        self.closes: asyncio.Queue[int | None] = asyncio.Queue()
        self.paths: list[str] = []
        self.correlation_ids: list[str | None] = []
        self.position = 0
        self.silent = False
        self.greeting = ""
        self.url = ""

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request.headers.get("Authorization"))
        self.correlation_ids.append(request.headers.get("X-Correlation-ID"))
        self.paths.append(request.path)
        self.knocks.put_nowait(request.path)
        if self.refusals:
            return connection.respond(self.refusals.pop(0), "no\n")
        return None

    async def handle(self, connection: ServerConnection) -> None:
        after = connection.request.path.partition("after=")[2] if connection.request else ""
        ready = json.dumps({"type": "ready", "position": int(after or self.position)})
        if self.silent:
            return await connection.wait_closed()
        await connection.send(self.greeting or ready)
        script = self.connections.pop(0) if self.connections else wait
        await script(connection)
        await connection.wait_closed()
        self.closes.put_nowait(connection.close_code)


async def wait(connection: ServerConnection) -> None:
    await connection.wait_closed()


def saying(*frames: str, then_break: bool = False) -> Callable[[ServerConnection], Awaitable[None]]:
    async def script(connection: ServerConnection) -> None:
        for text in frames:
            await connection.send(text)
        if then_break:
            connection.transport.abort()

    return script


@asynccontextmanager
async def serving(gateway: Gateway, port: int = 0) -> AsyncIterator[Gateway]:
    """Serve, from here on under `gateway.url`."""
    async with serve(
        gateway.handle, "127.0.0.1", port, process_request=gateway.check, close_timeout=1
    ) as server:
        gateway.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield gateway


@asynccontextmanager
async def listening(
    gateway: Gateway, *, after: int | None = None, heartbeat: float = 10, **options: Any
) -> AsyncIterator[Any]:
    """The messages of a client of the gateway."""
    async with (
        AsyncPulse(gateway.url, retries=QUICK, **{"token": "access-0", **options}) as client,
        client.realtime.messages(after=after, heartbeat=heartbeat) as frames,
    ):
        yield frames


async def text_of(frames: Any) -> str:
    async with asyncio.timeout(60):
        return str((await anext(frames)).data.text)


def listen_blocking(
    url: str, token: str | TokenSource = "access-0", count: int = 0, heartbeat: float = 10
) -> list[str]:
    with (
        Pulse(url, token=token, retries=QUICK) as client,
        client.realtime.messages(heartbeat=heartbeat) as frames,
    ):
        return [next(frames).data.text for _ in range(count)]


class Proxy:
    """Passes connections on until it falls silent, as a router does that loses its power."""

    def __init__(self) -> None:
        self.url = ""
        self._links: list[asyncio.Event] = []
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def to(self, url: str) -> AsyncIterator[Proxy]:
        """Listen, from here on under `self.url`."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = asyncio.Event()
            link.set()
            self._links.append(link)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            for source, sink in ((reader, far_writer), (far_reader, writer)):
                self._pumps.add(asyncio.create_task(self._pump(source, sink, link)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        server.close()

    def fall_silent(self) -> None:
        """Pass on nothing more of the connections there are, not even that they end."""
        for link in self._links:
            link.clear()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(65536):
                await link.wait()
                sink.write(data)
            await link.wait()
        finally:
            sink.close()
