"""WebSockets: who may open one, and where."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from pulse_cli.stack.gateway import SOCKET_TOKEN
from pulse_cli.stack.model import ROUTES
from pulse_cli.verify.gateway.subject import TIMEOUT_SECONDS, Subject, Token
from pulse_sdk.contract.messaging import SUBPROTOCOL

PATH = next(route.prefix for route in ROUTES if route.websocket)


async def opened(
    subject: Subject,
    source: str | None,
    path: str,
    *,
    token: Token | None,
    offered: bool = False,
) -> int:
    """Open a WebSocket and see a ping answered; return 101, or the status of the refusal.

    The token is `offered` among the protocols, as browsers must, or in its usual header.

    Raises:
        OSError, WebSocketException: something else went wrong.
    """
    protocols: Sequence[Subprotocol] = ()
    headers: dict[str, str] = {}
    if token is not None and offered:
        protocols = (Subprotocol(SUBPROTOCOL), Subprotocol(SOCKET_TOKEN + subject.token(token)))
    elif token is not None:
        headers = subject.bearer(token)
    url = f"ws://{subject.host}:{subject.port}{path}"
    try:
        async with connect(
            url,
            additional_headers=headers,
            subprotocols=protocols or None,
            open_timeout=TIMEOUT_SECONDS,
            proxy=None,
            local_addr=(source, 0) if source else None,
        ) as socket:
            await (await socket.ping())
            if offered and socket.subprotocol != SUBPROTOCOL:
                raise WebSocketException(f"the protocol {socket.subprotocol} was agreed")
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code
