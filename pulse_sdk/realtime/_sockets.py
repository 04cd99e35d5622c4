"""Opening a WebSocket, blocking and not, with the same limits."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from pulse_sdk._flow import OpenSocket
from pulse_sdk.realtime._wire import read_ready

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection as AsyncSocket
    from websockets.sync.client import ClientConnection as Socket

_CLOSE_SECONDS = 1.0
"""For the server's goodbye, after which the connection is cut."""
_WAITING_FRAMES = 16
"""Frames that may wait to be read before no more are taken from the network."""

_log = logging.getLogger("pulse_sdk.websocket")
_log.addFilter(lambda record: "Authorization" not in (record.args or ()))


def _options(step: OpenSocket) -> dict[str, Any]:
    return {
        "additional_headers": step.headers,
        "open_timeout": step.timeout,
        "ping_interval": step.heartbeat,
        "ping_timeout": step.heartbeat,
        "close_timeout": _CLOSE_SECONDS,
        "max_queue": _WAITING_FRAMES,
        "compression": None,  # the service has none, and what is read at once stays bounded
        "logger": _log,
    }


def open_socket(step: OpenSocket) -> tuple[Socket, int]:
    """Carry the step out, blocking: the socket, and the position at which it begins."""
    from websockets.sync.client import connect

    # `with` is the one form in which every supported release returns the connection itself.
    socket = connect(step.url, **_options(step)).__enter__()
    try:
        return socket, read_ready(socket.recv(timeout=step.timeout))
    except BaseException:
        socket.close()
        raise


async def open_async_socket(step: OpenSocket) -> tuple[AsyncSocket, int]:
    """Carry the step out: the socket, and the position at which it begins."""
    from websockets.asyncio.client import connect

    socket = await connect(step.url, **_options(step))
    try:
        async with asyncio.timeout(step.timeout):
            return socket, read_ready(await socket.recv())
    except BaseException:
        await socket.close()
        raise
