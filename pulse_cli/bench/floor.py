"""The floor of the measurement: what the generator itself adds, seen against a trivial server.

The same generator with the same users, rate and pacing drives `python -m pulse_cli.bench.floor`, a
server that answers every request with the same bytes, as many as a page of the feed. Whatever
latency is measured there is the instrument's own and the kernel's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

BODY = b'{"items":[' + b",".join([b'"' + b"x" * 278 + b'"'] * 20) + b"]}"
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)


class _Trivial(asyncio.Protocol):
    """Answers each head of a request; the requests have no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._open = (self._open + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(heads))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Trivial, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this process holds the other end of its standard input.
    gone = asyncio.Event()
    loop.add_reader(sys.stdin, gone.set)
    await gone.wait()


def main() -> None:
    """Serve on a free port, say which one, and stop when standard input ends."""
    try:
        import uvloop
    except ImportError:  # it belongs to the services' packages
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
