"""`GET /api/v1/ws`: the WebSocket on which a person's messages arrive.

It begins with a `ready` frame that tells a position; each message frame carries its own. A client
that comes back with `?after=<position>` of the last one gets what it missed, from PostgreSQL (what
was read elsewhere meanwhile for some days only, see `MailStore.expire`), and then goes on live; the
writer of each socket keeps its last position, so that nothing is left out and nothing comes twice
(see `live` and `mail`).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Handler

from pulse_sdk.contract.messaging import SUBPROTOCOL, ReadyFrame, SocketQuery
from services.kit.auth import Identity, bearer, user_verifier
from services.kit.errors import ServiceError
from services.kit.http import parse_query
from services.kit.settings import Settings
from services.messaging.live import EPHEMERAL, TRY_AGAIN_LATER, Live, Outlet, message_frame
from services.messaging.mail import MailStore
from services.messaging.presence import PresenceBoard
from services.messaging.signals import Budget, Signals

PATH = "/api/v1/ws"

TOKEN_EXPIRED = 4401
"""Close code of a connection whose access token has ended; refresh it and connect again."""

_HEARTBEAT_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_LARGEST_FRAME = 4096
"""Bytes of a frame that a client may send; a larger one ends its connection (1009)."""
_READ_AT_ONCE = 100
_BEARER = "bearer."

LIVE = web.AppKey("live", Live)
MAIL = web.AppKey("mail", MailStore)
PRESENCE = web.AppKey("presence", PresenceBoard)
SIGNALS = web.AppKey("signals", Signals)


def socket_handler(settings: Settings) -> Handler:
    """Make the endpoint. It checks callers itself, by headers alone: URLs end up in logs."""
    verify = user_verifier(settings)

    async def handle(request: web.Request) -> web.StreamResponse:
        token = _token(request)
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS,
            timeout=_CLOSE_SECONDS,
            max_msg_size=_LARGEST_FRAME,
            protocols=(SUBPROTOCOL,),
            compress=False,
        )
        if not socket.can_prepare(request).ok:
            raise _upgrade_required()
        identity = verify(bearer(token))
        if identity.expires_at <= time.time():  # no grace here: it would be closed at once
            raise ServiceError.unauthorized("token_expired", "The access token has expired.")
        after = parse_query(request, SocketQuery).after
        async with request.app[LIVE].attached(identity.user_id) as outlet:
            positions = await request.app[MAIL].positions([identity.user_id])
            now = positions.get(identity.user_id, 0)
            await socket.prepare(request)
            async with request.app[PRESENCE].shown(identity.user_id):
                connection = _Connection(request, socket, outlet, identity)
                await connection.serve(now if after is None else min(after, now))
        return socket

    return handle


async def close_sockets(app: web.Application) -> None:
    """Say goodbye to everyone, at the beginning of a shutdown."""
    app[LIVE].close()


class _Connection:
    """One socket and the person at its other end."""

    def __init__(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        outlet: Outlet,
        identity: Identity,
    ) -> None:
        self._request = request
        self._socket = socket
        self._outlet = outlet
        self._identity = identity

    async def serve(self, position: int) -> None:
        """Write what arrives after a position until either side is done with the connection."""
        loop = asyncio.get_running_loop()
        remaining = self._identity.expires_at - time.time()
        expiry = loop.call_later(remaining, self._outlet.end, TOKEN_EXPIRED)
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write(position))
        try:
            await asyncio.wait(
                (reading, writing, self._outlet.ended), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            expiry.cancel()
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            await self._close()

    async def _read(self) -> None:
        """Until the client closes; pings are answered."""
        signals, budget = self._request.app[SIGNALS], Budget()
        async for frame in self._socket:
            if budget.spend(self._outlet):
                await signals.heard(self._identity, frame, self._outlet)

    async def _write(self, position: int) -> None:
        frames = self._outlet.frames
        with suppress(ClientConnectionResetError):
            try:
                await self._send(ReadyFrame(position=position).model_dump_json().encode())
                position = await self._catch_up(position)
                while True:
                    at, frame = await frames.get()
                    if at == EPHEMERAL:
                        await self._send(frame)
                    elif at == position + 1 and frame:
                        await self._send(frame)
                        position = at
                    elif at > position:
                        position = await self._catch_up(position)
            except ServiceError:  # the client continues where it was, perhaps elsewhere
                self._outlet.end(TRY_AGAIN_LATER)

    async def _catch_up(self, position: int) -> int:
        """Write what was delivered after a position, up to what is known now; the new position."""
        outlet = self._outlet
        outlet.behind = True
        mail, user_id = self._request.app[MAIL], self._identity.user_id
        while True:
            known = outlet.newest
            found = await mail.deliveries(user_id, position, _READ_AT_ONCE)
            for at, message in found:
                await self._send(message_frame(at, message.model_dump_json()))
                position = at
            if len(found) == _READ_AT_ONCE:
                continue
            # What was known before the statement began was committed, so it was found.
            position = max(position, known)
            if outlet.newest <= position:
                outlet.newest = position
                outlet.behind = False
                return position

    async def _send(self, frame: bytes) -> None:
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def _close(self) -> None:
        """Close with the code decided on; a client that does not read cannot hold us up."""
        ended = self._outlet.ended
        try:
            async with asyncio.timeout(2 * _CLOSE_SECONDS):
                await self._socket.close(code=ended.result() if ended.done() else WSCloseCode.OK)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()


def _token(request: web.Request) -> str | None:
    """The `Authorization` header, or the same out of a browser's `Sec-WebSocket-Protocol`.

    Raises:
        ServiceError: 400, what is offered is not our protocol (and must be kept from aiohttp,
            which would log the offer, token and all).
    """
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ())).split(",")
    protocols = [protocol.strip() for protocol in offered if protocol.strip()]
    if protocols and SUBPROTOCOL not in protocols:
        raise ServiceError.malformed(f"The protocol here is {SUBPROTOCOL}.")
    if "Authorization" in request.headers:
        return request.headers["Authorization"]
    tokens = [p.removeprefix(_BEARER) for p in protocols if p.startswith(_BEARER)]
    return f"Bearer {tokens[0]}" if tokens else None


def _upgrade_required() -> ServiceError:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    detail = "This path speaks WebSocket; connect with an upgrade."
    return ServiceError(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", detail, headers=headers)
