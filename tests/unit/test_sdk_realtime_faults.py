"""What a listener lives through: silence, restarts, expiry, slowness, and being told to stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from pulse_sdk import AsyncPulse, Backoff, ConnectionFailed, Forbidden, InvalidInput, Pulse, Retries
from pulse_sdk.contract.notifications import NotificationFrame
from pulse_sdk.contract.users import Tokens
from tests.ports import free_port
from tests.unit.live_support import (
    ID,
    QUICK,
    Gateway,
    Proxy,
    frame,
    listen_blocking,
    listening,
    saying,
    serving,
    text_of,
)

PATIENT = Retries(limit=1, backoff=Backoff(first=3600, most=3600))
"""Waits so long that only being closed can end the wait within a test."""


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving(Gateway()) as gateway:
        yield gateway


async def closed(gateway: Gateway) -> int | None:
    return await asyncio.wait_for(gateway.closes.get(), 10)


def in_turn(last: int, size: int = 1) -> Callable[[ServerConnection], Any]:
    """Send the messages after the position that was asked for, up to the last."""

    async def script(connection: ServerConnection) -> None:
        assert connection.request is not None
        after = int(connection.request.path.partition("after=")[2] or 0)
        for position in range(after + 1, last + 1):
            await connection.send(frame(f"{position}".rjust(size), position))

    return script


async def test_a_loop_needs_no_block_and_closes_the_connection_when_it_is_left(
    gateway: Gateway,
) -> None:
    gateway.connections = [saying(frame("one"), frame("two", 2))]
    async with AsyncPulse(gateway.url, token="t", retries=QUICK) as client:
        async for message in client.realtime.messages():
            assert message.data.text == "one"
            break
        assert await closed(gateway) == 1000


async def test_a_blocking_loop_needs_no_block_either(gateway: Gateway) -> None:
    gateway.connections = [saying(frame("one"), frame("two", 2))]

    def loop() -> str:
        with Pulse(gateway.url, token="t", retries=QUICK) as client:
            for message in client.realtime.messages():
                return message.data.text
        return "nothing"

    assert await asyncio.to_thread(loop) == "one"
    assert await closed(gateway) == 1000


async def test_a_cancelled_loop_closes_the_connection(gateway: Gateway) -> None:
    heard = asyncio.Event()

    async def loop() -> None:
        async with AsyncPulse(gateway.url, token="t", retries=QUICK) as client:
            async for _ in client.realtime.messages():
                heard.set()

    gateway.connections = [saying(frame("one"))]
    task = asyncio.create_task(loop())
    await asyncio.wait_for(heard.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await closed(gateway) == 1000


async def test_closing_ends_a_wait_for_the_next_attempt_at_once(gateway: Gateway) -> None:
    gateway.refusals = [HTTPStatus.SERVICE_UNAVAILABLE]
    async with AsyncPulse(gateway.url, token="t", retries=PATIENT) as client:
        frames = client.realtime.messages()
        waiting = asyncio.create_task(anext(frames, None))
        await asyncio.wait_for(gateway.knocks.get(), 10)
        await frames.aclose()
        assert await asyncio.wait_for(waiting, 10) is None

        gateway.refusals = [HTTPStatus.SERVICE_UNAVAILABLE]
        cancelled = asyncio.create_task(anext(client.realtime.messages(), None))
        await asyncio.wait_for(gateway.knocks.get(), 10)
        cancelled.cancel()
        await asyncio.wait([cancelled], timeout=10)
        assert cancelled.cancelled()


async def test_closing_from_another_thread_ends_a_wait_at_once(gateway: Gateway) -> None:
    gateway.refusals = [HTTPStatus.SERVICE_UNAVAILABLE]
    with Pulse(gateway.url, token="t", retries=PATIENT) as client:
        frames = client.realtime.messages()
        waiting = asyncio.create_task(asyncio.to_thread(next, frames, None))
        await asyncio.wait_for(gateway.knocks.get(), 10)
        await asyncio.to_thread(frames.close)
        assert await asyncio.wait_for(waiting, 10) is None


async def test_closing_the_client_ends_what_listens(gateway: Gateway) -> None:
    client = AsyncPulse(gateway.url, token="t", retries=QUICK)
    blocking = Pulse(gateway.url, token="t", retries=QUICK)

    async def loop() -> int:
        return len([message async for message in client.with_options().realtime.messages()])

    tasks = [
        asyncio.create_task(loop()),
        asyncio.create_task(asyncio.to_thread(list, blocking.realtime.messages())),
    ]
    for _ in tasks:
        await asyncio.wait_for(gateway.knocks.get(), 10)
    await client.aclose()
    await asyncio.to_thread(blocking.close)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == [0, []]
    assert gateway.knocks.empty()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_connection_that_fell_silent_is_noticed_and_made_again(
    gateway: Gateway, kind: str
) -> None:
    heartbeat = 0.6
    async with Proxy().to(gateway.url) as proxy:

        async def falls_silent(connection: ServerConnection) -> None:
            await connection.send(frame("one"))
            await asyncio.sleep(2 * heartbeat)  # long enough for a ping that is answered
            assert connection.state.name == "OPEN"
            proxy.fall_silent()
            await connection.send(frame("two", 2))

        gateway.connections = [falls_silent, in_turn(3)]
        if kind == "sync":
            heard = await asyncio.to_thread(
                listen_blocking, proxy.url, count=3, heartbeat=heartbeat
            )
        else:
            async with (
                AsyncPulse(proxy.url, token="t", retries=QUICK) as client,
                client.realtime.messages(heartbeat=heartbeat) as frames,
            ):
                heard = [await text_of(frames) for _ in range(3)]
    assert heard == ["one", "2", "3"]
    assert [path.partition("?")[2] for path in gateway.paths] == ["", "after=1"]


async def test_a_slow_reader_holds_up_the_server_and_misses_nothing(gateway: Gateway) -> None:
    last, size = 60, 500_000
    sent = 0

    async def script(connection: ServerConnection) -> None:
        nonlocal sent
        assert connection.request is not None
        after = int(connection.request.path.partition("after=")[2] or 0)
        try:
            for sent in range(after + 1, last + 1):
                await connection.send(frame(f"{sent}".rjust(size), sent))
        except ConnectionClosed:
            cut_off.set()

    cut_off = asyncio.Event()
    gateway.connections = [script] * last
    async with listening(gateway, heartbeat=0.5) as frames:
        heard = [int(await text_of(frames))]
        before = 0
        while sent > before or sent < 2:  # until nothing more is taken
            before = sent
            await asyncio.sleep(0.3)
        assert sent < last
        # The heartbeat is missed, so that the connection is made again.
        await asyncio.wait_for(cut_off.wait(), 60)
        heard += [int(await text_of(frames)) for _ in range(last - 1)]
    assert heard == list(range(1, last + 1))
    assert len(gateway.paths) > 1


async def test_a_server_that_restarts_is_found_again(gateway: Gateway) -> None:
    old, port = Gateway(), free_port()
    async with serving(old, port):
        old.connections = [saying(frame("one"))]
        client = AsyncPulse(old.url, token="t", retries=QUICK)
        frames = client.realtime.messages()
        assert await text_of(frames) == "one"
    waiting = asyncio.create_task(text_of(frames))
    await asyncio.sleep(0.1)
    new = Gateway()
    new.connections = [in_turn(2)]
    async with serving(new, port):
        assert await waiting == "2"
        await frames.aclose()
        await client.aclose()
    assert new.paths == ["/api/v1/ws?after=1"]
    assert frames.position == 2


async def test_a_token_that_ended_is_replaced_before_the_next_handshake(gateway: Gateway) -> None:
    async def expire(connection: ServerConnection) -> None:
        await connection.close(4401)

    new = {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 900}
    old = Tokens.model_validate(
        {"access_token": "access-0", "refresh_token": "refresh-0", "expires_in": 900}
    )
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=new))
    gateway.connections = [expire, saying(frame("one"))]
    async with (
        httpx.AsyncClient(transport=transport) as http,
        listening(gateway, token=old, http_client=http) as frames,
    ):
        assert await text_of(frames) == "one"
    assert gateway.seen == ["Bearer access-0", "Bearer access-1"]


class Numbered:
    """Gives another token each time that one is refused."""

    def __init__(self) -> None:
        self.given = 0

    def token(self, refused: str | None) -> str:
        assert refused in {None, f"access-{self.given}"}
        self.given += refused is not None
        return f"access-{self.given}"


async def test_a_token_source_is_asked_when_the_token_has_ended_or_is_refused(
    gateway: Gateway,
) -> None:
    async def expire(connection: ServerConnection) -> None:
        await connection.close(4401)

    gateway.connections = [expire, saying(frame("one"))]
    gateway.refusals = [HTTPStatus.UNAUTHORIZED]
    heard = asyncio.to_thread(listen_blocking, gateway.url, token=Numbered(), count=1)
    assert await asyncio.wait_for(heard, 10) == ["one"]
    assert gateway.seen == ["Bearer access-0", "Bearer access-1", "Bearer access-2"]


async def test_who_has_listened_outlasts_every_failure_that_may_pass(gateway: Gateway) -> None:
    gateway.connections = [saying(then_break=True), saying(frame("one"), then_break=True)]
    async with listening(gateway) as frames:
        gateway.refusals = [
            HTTPStatus.INTERNAL_SERVER_ERROR,
            HTTPStatus.BAD_GATEWAY,
            HTTPStatus.TOO_MANY_REQUESTS,
        ]
        assert await text_of(frames) == "one"
        gateway.refusals = [HTTPStatus.FORBIDDEN]
        with pytest.raises(Forbidden):
            await text_of(frames)


async def test_the_client_s_timeout_and_headers_hold_for_the_handshake_too(
    gateway: Gateway,
) -> None:
    gateway.silent = True
    options: dict[str, Any] = {"timeout": 0.5, "headers": {"X-Correlation-ID": "mine"}}
    with pytest.raises(ConnectionFailed, match="in time"):
        async with listening(gateway, **options):
            pass
    assert gateway.correlation_ids == ["mine"] * 2


@pytest.mark.parametrize(
    "options",
    [{"after": -1}, {"after": "x"}, {"heartbeat": 0}, {"heartbeat": float("nan")}],
    ids=str,
)
def test_what_cannot_be_listened_with_is_refused_at_once(options: dict[str, Any]) -> None:
    (name,) = options
    with Pulse("http://127.0.0.1:1") as client, pytest.raises(InvalidInput, match=name):
        client.realtime.messages(**options)


async def test_what_a_newer_server_adds_is_ignored(gateway: Gateway) -> None:
    notice: dict[str, Any] = {
        "id": ID,
        "kind": "anniversary",
        "actor_id": None,
        "subject": {},
        "read": False,
        "created_at": "2026-01-01T00:00:00Z",
        "colour": "green",
    }
    gateway.connections = [saying(json.dumps({"type": "notification", "data": notice, "v": 2}))]
    async with (
        AsyncPulse(gateway.url, token="t", retries=QUICK) as client,
        client.realtime.frames() as frames,
    ):
        heard = await asyncio.wait_for(anext(frames), 10)
    assert isinstance(heard, NotificationFrame)
    assert heard.data.kind == "anniversary"
