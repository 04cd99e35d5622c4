"""Servers on real sockets that answer as a test says, and a call to them by either client."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pulse_sdk import AsyncPulse, Pulse
from tests.unit.sdk_support import ID, Caller

Serve = Callable[[socket.socket], object]


@contextmanager
def listening(serve: Serve, *, reads: bool = True) -> Iterator[str]:
    """A server that hands each connection to `serve`, as a rule after the request was read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=[connection], daemon=True).start()

        def handle(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                if not reads or connection.recv(65536):
                    serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


async def ask(caller: Caller, url: str, **options: Any) -> Any:
    options = {"retries": 0, "token": "very-secret", **options}
    if caller.kind == "sync":
        with Pulse(url, **options) as client:
            return await asyncio.to_thread(client.posts.get, ID)
    async with AsyncPulse(url, **options) as client:
        return await client.posts.get(ID)
