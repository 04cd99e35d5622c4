"""Messages over a WebSocket, against a small server on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from pulse_sdk import (
    AsyncPulse,
    ConnectionFailed,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    Pulse,
    ServerError,
    UnreadableAnswer,
)
from pulse_sdk.contract.users import Tokens
from tests.unit.live_support import (
    ID,
    QUICK,
    Gateway,
    frame,
    listen_blocking,
    listening,
    saying,
    serving,
    text_of,
)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving(Gateway()) as gateway:
        yield gateway


async def test_messages_arrive_and_the_token_is_in_the_handshake(gateway: Gateway) -> None:
    gateway.connections = [saying(frame("one"), frame("two", 2))]
    async with listening(gateway) as frames:
        assert [await text_of(frames), await text_of(frames)] == ["one", "two"]
    assert gateway.seen == ["Bearer access-0"]
    assert gateway.paths == ["/api/v1/ws"]


async def test_leaving_the_block_closes_cleanly_and_ends_the_iteration(gateway: Gateway) -> None:
    async with listening(gateway) as frames:
        pass
    with pytest.raises(StopAsyncIteration):
        await anext(frames)
    assert await asyncio.wait_for(gateway.closes.get(), 5) == 1000


async def test_closing_ends_an_iteration_in_another_task(gateway: Gateway) -> None:
    async def listen() -> int:
        return len([frame async for frame in frames])

    async with listening(gateway) as frames:
        task = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await frames.aclose()
        assert await asyncio.wait_for(task, 5) == 0
    assert len(gateway.seen) == 1


async def test_a_broken_connection_is_made_again_even_past_the_limit(gateway: Gateway) -> None:
    gateway.connections = [saying(frame("one"), then_break=True), saying(frame("two", 2))]
    async with listening(gateway) as frames:
        assert await text_of(frames) == "one"
        gateway.refusals = [HTTPStatus.SERVICE_UNAVAILABLE] * 4
        assert await text_of(frames) == "two"
    assert len(gateway.seen) == 6


async def test_the_next_connection_continues_after_the_last_message(gateway: Gateway) -> None:
    gateway.position = 6
    gateway.connections = [
        saying(then_break=True),
        saying(frame("one", 7), frame("two", 8), then_break=True),
        saying(frame("two", 8), frame("three", 9)),
    ]
    async with listening(gateway) as frames:
        assert [await text_of(frames) for _ in range(3)] == ["one", "two", "three"]
    assert [path.partition("?")[2] for path in gateway.paths] == ["", "after=6", "after=8"]


async def test_a_client_may_continue_where_another_stopped(gateway: Gateway) -> None:
    gateway.connections = [saying(frame("one", 42), then_break=True)]
    async with (
        AsyncPulse(gateway.url, token="access-0", retries=QUICK) as client,
        client.realtime.messages(after=41) as frames,
    ):
        assert await text_of(frames) == "one"
    assert gateway.paths == ["/api/v1/ws?after=41"]


async def test_all_frames_are_told_apart_and_a_signal_is_sent(gateway: Gateway) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def script(connection: ServerConnection) -> None:
        await connection.send(
            json.dumps({"type": "presence", "data": {"user_id": ID, "online": 1}})
        )
        await connection.send(frame("one"))
        heard.put_nowait(json.loads(await connection.recv()))

    gateway.connections = [script]
    async with (
        AsyncPulse(gateway.url, token="access-0", retries=QUICK) as client,
        client.realtime.frames() as frames,
    ):
        kinds = [(await asyncio.wait_for(anext(frames), 5)).type for _ in range(2)]
        await frames.typing(ID)
        signal = await asyncio.wait_for(heard.get(), 5)
        with pytest.raises(InvalidInput):
            await frames.typing("nowhere")
    assert kinds == ["presence", "message"]
    assert signal == {"type": "typing", "data": {"conversation_id": ID}}


@pytest.mark.parametrize("first", ['{"type": "message"}', "{"])
async def test_a_first_frame_of_something_else_is_a_clear_error(
    gateway: Gateway, first: str
) -> None:
    gateway.greeting = first
    with pytest.raises(UnreadableAnswer):
        async with listening(gateway):
            pass


async def test_a_cancelled_wait_loses_nothing(gateway: Gateway) -> None:
    go_on = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await go_on.wait()
        await connection.send(frame("one"))

    gateway.connections = [script]
    async with listening(gateway) as frames:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(frames), 0.01)
        go_on.set()
        assert await text_of(frames) == "one"


async def test_frames_of_a_newer_kind_are_passed_over(gateway: Gateway) -> None:
    gateway.connections = [saying('{"type": "poll", "data": 1}', frame("one"))]
    async with listening(gateway) as frames:
        assert await text_of(frames) == "one"


@pytest.mark.parametrize("broken", ["{", "[]", '{"type": "message", "data": {}}'])
async def test_a_frame_that_cannot_be_read_is_a_clear_error(gateway: Gateway, broken: str) -> None:
    gateway.connections = [saying(broken, frame("one"))]
    async with listening(gateway) as frames:
        with pytest.raises(UnreadableAnswer):
            await text_of(frames)
        assert await text_of(frames) == "one"


async def test_a_refused_handshake_is_the_error_it_means(gateway: Gateway) -> None:
    for status, kind, tries in [
        (HTTPStatus.FORBIDDEN, Forbidden, 1),
        (HTTPStatus.UNAUTHORIZED, NotAuthenticated, 1),
        (HTTPStatus.SERVICE_UNAVAILABLE, ServerError, 2),
    ]:
        gateway.seen.clear()
        gateway.refusals = [status] * 2
        with pytest.raises(kind):
            async with listening(gateway):
                pass
        assert len(gateway.seen) == tries
        gateway.refusals = []


async def test_a_server_that_is_not_there_is_given_up_after_the_limit(gateway: Gateway) -> None:
    client = AsyncPulse("http://127.0.0.1:1", retries=QUICK)
    with pytest.raises(ConnectionFailed) as caught:
        await anext(client.realtime.messages())
    assert caught.value.attempts == 2
    await client.aclose()


async def test_an_expired_token_is_refreshed_for_the_handshake(gateway: Gateway) -> None:
    new = {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 900}
    old = {"access_token": "access-0", "refresh_token": "refresh-0", "expires_in": 900}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=new))
    gateway.refusals = [HTTPStatus.UNAUTHORIZED]
    async with (
        httpx.AsyncClient(transport=transport) as http,
        listening(gateway, token=Tokens.model_validate(old), http_client=http),
    ):
        pass
    assert gateway.seen == ["Bearer access-0", "Bearer access-1"]


async def test_the_token_is_in_no_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.connections = [saying(frame("one"))]
    with caplog.at_level(logging.DEBUG):
        async with listening(gateway, token="very-secret") as frames:
            await text_of(frames)
        await asyncio.to_thread(lambda: listen_blocking(gateway.url, token="very-secret"))
    client_log = [r.getMessage() for r in caplog.records if r.name.startswith("pulse_sdk")]
    assert any("GET /api/v1/ws" in line for line in client_log)
    assert not any("very-secret" in line for line in client_log)


async def test_the_blocking_twin_receives_reconnects_and_closes(gateway: Gateway) -> None:
    gateway.connections = [saying(frame("one"), then_break=True), saying(frame("two", 2))]
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(listen_blocking, gateway.url, count=2) == ["one", "two"]
        assert await gateway.closes.get() != 1000
        assert await gateway.closes.get() == 1000


async def test_the_blocking_twin_ends_when_another_thread_closes_it(gateway: Gateway) -> None:
    with Pulse(gateway.url, token="t", retries=QUICK) as client:
        frames = await asyncio.to_thread(client.realtime.messages().__enter__)
        reading = asyncio.create_task(asyncio.to_thread(list, frames))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(frames.close)
        assert await asyncio.wait_for(reading, 5) == []


async def test_the_blocking_twin_signals_and_refuses_what_is_no_frame(gateway: Gateway) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def script(connection: ServerConnection) -> None:
        heard.put_nowait(json.loads(await connection.recv()))
        await connection.send(frame("one", 7))

    def talk() -> tuple[int | None, str, int | None]:
        with (
            Pulse(gateway.url, token="t", retries=QUICK) as client,
            client.realtime.frames() as frames,
        ):
            begun = frames.position
            frames.typing(ID)
            return begun, next(frames).type, frames.position

    gateway.connections = [script]
    assert await asyncio.to_thread(talk) == (0, "message", 7)
    assert (await asyncio.wait_for(heard.get(), 5))["type"] == "typing"
    gateway.greeting = "{"
    with pytest.raises(UnreadableAnswer):
        await asyncio.to_thread(listen_blocking, gateway.url)
