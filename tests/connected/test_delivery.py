"""What a connection missed is delivered on the next one: all of it, and once."""

from __future__ import annotations

import asyncio
import random
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from pulse_sdk import AsyncPulse, Pulse
from pulse_sdk.contract.messaging import MessageFrame
from pulse_sdk.realtime import AsyncFrames, Frames
from services.messaging.app import create_app
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, People, Person, code, served, settings_of
from tests.connected.wire import listen, messages, opened, ready, send, silent, told


@pytest.fixture
async def second(stack: RunningStack) -> AsyncIterator[str]:
    """The address of one more instance of the messaging service."""
    async with served(create_app(settings_of("messaging", stack.stack, stack.state))) as url:
        yield url


@pytest.fixture
async def redis(stack: RunningStack) -> AsyncIterator[Redis]:
    """The stack's Redis, as its operator."""
    address = stack.stack.redis
    password = (stack.state / "secrets" / "operator" / "redis_password").read_text().strip()
    async with Redis(host=address.host, port=address.port, password=password) as client:
        yield client


async def test_a_connection_gets_what_the_last_one_missed(
    people: People, stack: RunningStack, second: str
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await opened(ada, ben)
    sent = [await send(ada, conversation, "Before anything")]
    async with listen(stack.gateway_url, ben) as socket:
        start = await ready(socket)
        assert await silent(socket)
    sent += [await send(ada, conversation, f"Message {n}") for n in range(250)]

    async with listen(second, ben, after=start) as socket:
        assert await ready(socket) == start
        assert await messages(socket, 250) == sent[1:]
        sent.append(await send(ada, conversation, "And now"))
        frame = await told(socket, MessageFrame)
        assert frame.data == sent[-1]

    async with listen(stack.gateway_url, ben, after=frame.position) as socket:
        assert await ready(socket) == frame.position
        assert await silent(socket)
    async with listen(second, ben, after=0) as socket:
        assert await messages(socket, 252) == sent


async def test_a_position_of_somewhere_else_is_brought_back_or_refused(
    people: People, second: str
) -> None:
    ben = await people.new()
    async with listen(second, ben, after=2**62) as socket:
        assert await ready(socket) == 0
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    for query in ("after=-1", "after=x", f"after={2**63}", "after=1&after=2", "before=1"):
        answer = await ben.http.get(f"{second}/api/v1/ws?{query}", headers=upgrade)
        assert code(answer) == (422, "invalid_request")


# redis-py leaves a stream to the garbage collector when it is killed in the middle of a write.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nothing_is_lost_or_doubled_while_connections_are_killed(
    people: People, stack: RunningStack, second: str, redis: Redis
) -> None:
    """Three people send over two instances to one whose connections die, as does Redis's."""
    ben, *senders = [await people.new() for _ in range(4)]
    group = await opened(ben, *senders)
    others = [await opened(sender, ben) for sender in senders]
    each = 40

    async def talk(sender: Person, direct: str) -> set[str]:
        said = set()
        for number in range(each):
            place = random.choice((group, direct))
            url = random.choice(("", second))
            said.add(str((await send(sender, place, f"{sender.id} {number}", url)).id))
            await asyncio.sleep(random.uniform(0, 0.03))
        return said

    got: list[str] = []
    went_on = asyncio.Event()

    async def hear() -> None:
        after = 0
        urls = [stack.gateway_url, second]
        while len(got) < each * len(senders):
            urls.reverse()
            async with listen(urls[0], ben, after=after) as socket:
                lives_for = random.randint(1, 12)
                try:
                    while len(got) < each * len(senders):
                        frame = await told(socket, MessageFrame)
                        assert frame.position == after + 1
                        after = frame.position
                        got.append(str(frame.data.id))
                        if len(got) % 10 == 0:
                            went_on.set()
                        lives_for -= 1
                        if lives_for == 0:
                            socket.transport.abort()
                except ConnectionClosed:
                    continue

    async def interrupt() -> None:
        while True:
            await redis.client_kill_filter(_type="pubsub")
            await went_on.wait()
            went_on.clear()

    interrupting = asyncio.create_task(interrupt())
    try:
        async with asyncio.timeout(WITHIN):
            *said, _ = await asyncio.gather(
                *(talk(*pair) for pair in zip(senders, others, strict=True)), hear()
            )
    finally:
        interrupting.cancel()

    assert len(got) == len(set(got))
    assert set(got) == set.union(*(ids for ids in said if ids is not None))


async def test_delivery_goes_on_while_redis_drops_its_subscribers(
    people: People, stack: RunningStack, second: str, redis: Redis
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await opened(ada, ben)
    async with AsyncExitStack() as opened_sockets:
        both = [
            await opened_sockets.enter_async_context(listen(url, ben))
            for url in (stack.gateway_url, second)
        ]
        for socket in both:
            await ready(socket)
        assert await redis.client_kill_filter(_type="pubsub") >= 2
        sent = [await send(ada, conversation, f"Are you there? {n}") for n in range(3)]
        for socket in both:
            assert await messages(socket, 3) == sent
        async with listen(second, await people.new()) as newcomer:
            assert await ready(newcomer) == 0


async def test_the_client_misses_nothing_when_its_connections_break(
    people: People, stack: RunningStack
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await opened(ada, ben)
    count = 30

    def hear_blocking() -> list[UUID]:
        with (
            Pulse(stack.gateway_url, token=ben.token) as client,
            client.realtime.messages(after=0) as frames,
        ):
            got = []
            for frame in frames:
                got.append(frame.data.id)
                if len(got) == count:
                    break
                if len(got) % 7 == 0:
                    _abort(frames)
            return got

    async def hear() -> list[UUID]:
        got = []
        async with (
            AsyncPulse(stack.gateway_url, token=ben.token) as client,
            client.realtime.messages(after=0) as frames,
        ):
            async for frame in frames:
                got.append(frame.data.id)
                if len(got) == count:
                    break
                if len(got) % 5 == 0:
                    _abort(frames)
        return got

    listening = (asyncio.to_thread(hear_blocking), hear())
    both = asyncio.gather(*listening)
    sent = []
    for number in range(count):
        sent.append((await send(ada, conversation, f"Number {number}")).id)
        await asyncio.sleep(0.02)

    async with asyncio.timeout(WITHIN):
        assert [*(await both)] == [sent, sent]


def _abort(frames: Frames[MessageFrame] | AsyncFrames[MessageFrame]) -> None:
    """Break the connection below the client, without a goodbye."""
    held: Any = frames
    connection = held._socket
    if isinstance(frames, AsyncFrames):
        connection.transport.abort()
    else:
        connection.socket.shutdown(sockets.SHUT_RDWR)
