"""`GET /api/v1/ws`: the WebSocket on which a person's messages arrive."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Handler

from services.kit.auth import Identity, bearer, user_verifier
from services.kit.errors import ServiceError
from services.kit.settings import Settings
from services.messaging.live import Live, Outlet

PATH = "/api/v1/ws"

TOKEN_EXPIRED = 4401
"""Close code of a connection whose access token has ended; refresh it and connect again."""

_HEARTBEAT_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_LARGEST_FRAME = 4096
"""Bytes; callers have nothing to say here beyond pings."""

LIVE = web.AppKey("live", Live)


def socket_handler(settings: Settings) -> Handler:
    """Make the endpoint. It checks callers itself, by the header alone: URLs end up in logs."""
    verify = user_verifier(settings)

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS,
            timeout=_CLOSE_SECONDS,
            max_msg_size=_LARGEST_FRAME,
            compress=False,
        )
        if not socket.can_prepare(request).ok:
            raise _upgrade_required()
        identity = verify(bearer(request.headers.get("Authorization")))
        if identity.expires_at <= time.time():  # no grace here: it would be closed at once
            raise ServiceError.unauthorized("token_expired", "The access token has expired.")
        async with request.app[LIVE].attached(identity.user_id) as outlet:
            await socket.prepare(request)
            await _serve(request, socket, outlet, identity)
        return socket

    return handle


async def close_sockets(app: web.Application) -> None:
    """Say goodbye to everyone, at the beginning of a shutdown."""
    app[LIVE].close()


async def _serve(
    request: web.Request, socket: web.WebSocketResponse, outlet: Outlet, identity: Identity
) -> None:
    """Write what arrives until either side is done with the connection."""
    loop = asyncio.get_running_loop()
    remaining = identity.expires_at - time.time()
    expiry = loop.call_later(remaining, outlet.end, TOKEN_EXPIRED)
    reading = asyncio.create_task(_read(socket))
    writing = asyncio.create_task(_write(socket, outlet))
    try:
        await asyncio.wait((reading, writing, outlet.ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        expiry.cancel()
        reading.cancel()
        writing.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)
        await _close(request, socket, outlet)


async def _read(socket: web.WebSocketResponse) -> None:
    """Until the caller closes; pings are answered and anything else is ignored."""
    async for _ in socket:
        pass


async def _write(socket: web.WebSocketResponse, outlet: Outlet) -> None:
    with suppress(ClientConnectionResetError):
        while True:
            await socket.send_frame(await outlet.frames.get(), WSMsgType.TEXT)


async def _close(request: web.Request, socket: web.WebSocketResponse, outlet: Outlet) -> None:
    """Close with the code that was decided on; a caller who does not read cannot hold us up."""
    code = outlet.ended.result() if outlet.ended.done() else WSCloseCode.OK
    try:
        async with asyncio.timeout(2 * _CLOSE_SECONDS):
            await socket.close(code=code)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def _upgrade_required() -> ServiceError:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    detail = "This path speaks WebSocket; connect with an upgrade."
    return ServiceError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", detail, headers=headers)
