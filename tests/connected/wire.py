"""WebSockets of people, spoken to without the client."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pulse_sdk.contract.messaging import (
    Frame,
    Message,
    MessageFrame,
    ReadyFrame,
)
from tests.connected.people import WITHIN, Person

WS = "/api/v1/ws"

FrameT = TypeVar("FrameT")
_frames: TypeAdapter[Frame] = TypeAdapter(Frame)


def listen(
    base_url: str, person: Person, after: int | None = None, most_unread: int | None = None
) -> connect:
    """Connect, to what comes from now on or after a position."""
    url = base_url.replace("http", "ws", 1) + WS + ("" if after is None else f"?after={after}")
    return connect(url, additional_headers=person.headers, max_queue=most_unread)


async def ready(socket: ClientConnection) -> int:
    """The position of the first frame."""
    return (await told(socket, ReadyFrame)).position


async def told(socket: ClientConnection, kind: type[FrameT], within: float = WITHIN) -> FrameT:
    """The next frame of a kind."""
    async with asyncio.timeout(within):
        while True:
            frame = _frames.validate_json(await socket.recv())
            if isinstance(frame, kind):
                return frame


async def messages(socket: ClientConnection, count: int) -> list[Message]:
    """The next messages."""
    return [(await told(socket, MessageFrame)).data for _ in range(count)]


async def silent(socket: ClientConnection, kind: type[object] = MessageFrame) -> bool:
    """Whether no frame of a kind comes for a moment."""
    try:
        async with asyncio.timeout(0.1):
            await told(socket, kind)
    except TimeoutError:
        return True
    return False


async def ended(socket: ClientConnection, within: float = WITHIN) -> tuple[int, int]:
    """The close code, and how many frames came before it."""
    received = 0
    async with asyncio.timeout(within):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as end:
                return (end.rcvd.code if end.rcvd else 1006), received
            received += 1


async def opened(ada: Person, *others: Person, title: str | None = None) -> str:
    """Somebody's conversation with others."""
    body = {"member_ids": [str(other.id) for other in others], "title": title}
    answer = await ada.http.post("/api/v1/conversations", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def send(sender: Person, conversation: str, text: str, url: str = "") -> Message:
    """Send a text once, however often this is called."""
    path = f"{url}/api/v1/conversations/{conversation}/messages"
    answer = await sender.http.post(path, json={"text": text}, headers={"Idempotency-Key": text})
    assert answer.status_code == 201, answer.text
    return Message.model_validate_json(answer.content)
