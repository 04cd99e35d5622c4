"""Live delivery over WebSockets, across instances, on a running stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.messaging import Message, MessageFrame
from services.messaging import live
from services.messaging.app import create_app
from services.messaging.sockets import LIVE
from tests.conftest import RunningStack
from tests.connected.people import People, Person, served, settings_of

WS = "/api/v1/ws"


@dataclass(frozen=True)
class Instance:
    """One more instance of the messaging service, in this process."""

    url: str
    live: live.Live


@pytest.fixture
async def second(stack: RunningStack) -> AsyncIterator[Instance]:
    app = create_app(settings_of("messaging", stack.stack, stack.state))
    async with served(app) as url:
        yield Instance(url, app[LIVE])


def _listen(base_url: str, person: Person, most_unread: int | None = None) -> connect:
    url = base_url.replace("http", "ws", 1) + WS
    return connect(url, additional_headers=person.headers, max_queue=most_unread)


async def _frame(socket: ClientConnection) -> MessageFrame:
    async with asyncio.timeout(5):
        return MessageFrame.model_validate_json(await socket.recv())


async def _end(socket: ClientConnection, within: float = 10) -> tuple[int, int]:
    """The close code, and how many frames came before it."""
    received = 0
    async with asyncio.timeout(within):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as end:
                return (end.rcvd.code if end.rcvd else 1006), received
            received += 1


async def _conversation(ada: Person, *others: Person) -> str:
    body = {"member_ids": [str(other.id) for other in others]}
    return str((await ada.http.post("/api/v1/conversations", json=body)).json()["id"])


async def _send(sender: Person, conversation: str, text: str, url: str = "") -> Message:
    path = f"{url}/api/v1/conversations/{conversation}/messages"
    answer = await sender.http.post(path, json={"text": text}, headers={"Idempotency-Key": text})
    assert answer.status_code == 201, answer.text
    return Message.model_validate_json(answer.content)


async def test_a_message_reaches_every_socket_of_its_recipients_on_every_instance(
    people: People, stack: RunningStack, second: Instance
) -> None:
    ada, ben, cleo, eve = [await people.new() for _ in range(4)]
    conversation = await _conversation(ada, ben, cleo)
    async with AsyncExitStack() as sockets:
        reached = [
            await sockets.enter_async_context(_listen(url, person))
            for url, person in (
                (stack.gateway_url, ben),
                (stack.gateway_url, cleo),
                (second.url, ben),
                (second.url, ben),
            )
        ]
        others = [
            await sockets.enter_async_context(_listen(stack.gateway_url, person))
            for person in (ada, eve)
        ]
        here = await _send(ada, conversation, "By the gateway")
        again = await _send(ada, conversation, "By the gateway")
        there = await _send(ada, conversation, "By another instance", second.url)

        for socket in reached:
            assert [(await _frame(socket)).data, (await _frame(socket)).data] == [here, there]
        assert again == here
        for socket in (*reached, *others):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.1)


async def test_a_socket_ends_with_its_token(people: People, second: Instance) -> None:
    ada, late = await people.new(lives_seconds=1.0), await people.new(lives_seconds=-1)

    async with _listen(second.url, ada) as socket:
        started = asyncio.get_running_loop().time()
        assert await _end(socket) == (4401, 0)
        assert asyncio.get_running_loop().time() - started < 1.5

    with pytest.raises(InvalidStatus) as refused:
        await _listen(second.url, late)
    assert refused.value.response.status_code == 401


async def test_strangers_and_plain_requests_are_refused(
    people: People, stack: RunningStack, second: Instance
) -> None:
    ada = await people.new()
    for url in (stack.gateway_url, second.url):
        address = url.replace("http", "ws", 1) + WS
        for suffix, header in (
            ("", None),
            ("", "Bearer nonsense"),
            (f"?access_token={ada.token}", None),
        ):
            headers = {"Authorization": header} if header else {}
            with pytest.raises(InvalidStatus) as refused:
                await connect(address + suffix, additional_headers=headers)
            assert refused.value.response.status_code == 401
            Problem.model_validate_json(refused.value.response.body or b"")
    plain = await ada.http.get(second.url + WS)
    assert plain.status_code == 426
    assert Problem.model_validate_json(plain.content).code == "upgrade_required"
    assert plain.headers["Upgrade"] == "websocket"


async def test_a_reader_that_is_too_slow_is_cut_off_and_hinders_nobody(
    people: People, second: Instance
) -> None:
    slow, quick = await people.new(), await people.new()
    frame, count = b'"' + b"x" * 16_000 + b'"', 2000
    async with _listen(second.url, slow, 1) as stuck, _listen(second.url, quick) as socket:

        async def read() -> None:
            for _ in range(count):
                await socket.recv()

        reading = asyncio.create_task(read())
        for _ in range(count):
            await second.live.publish([slow.id, quick.id], frame)
        await asyncio.wait_for(reading, 10)

        code, received = await _end(stuck)
    assert code == 1013
    assert 0 < received < count


async def test_delivery_goes_on_after_redis_was_away(
    people: People, stack: RunningStack, second: Instance
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await _conversation(ada, ben)
    password = stack.state / "secrets" / "operator" / "redis_password"
    redis = Redis(
        host=stack.stack.redis.host,
        port=stack.stack.redis.port,
        password=password.read_text().strip(),
    )
    async with (
        redis,
        _listen(stack.gateway_url, ben) as first,
        _listen(second.url, ben) as other,
    ):
        assert await redis.client_kill_filter(_type="pubsub") >= 2
        for socket in (first, other):
            number = 0
            while True:  # what is sent before the instance listens again is not delivered
                number += 1
                assert number < 50
                await _send(ada, conversation, f"Are you there? {id(socket)} {number}")
                try:
                    await asyncio.wait_for(socket.recv(), 0.2)
                    break
                except TimeoutError:
                    continue
        async with _listen(second.url, await people.new()):
            pass  # newcomers are served as well


async def test_sockets_are_told_when_an_instance_goes_away(
    people: People, stack: RunningStack
) -> None:
    ada = await people.new()
    app = create_app(settings_of("messaging", stack.stack, stack.state))
    async with AsyncExitStack() as sockets:
        async with served(app) as url:
            socket = await sockets.enter_async_context(_listen(url, ada))
            waiting = asyncio.create_task(_end(socket))
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 2
        assert await waiting == (1001, 0)


async def test_the_life_of_a_socket_is_no_time_to_answer_a_request(
    people: People, second: Instance
) -> None:
    async with _listen(second.url, await people.new()) as socket:
        await socket.ping()
        await socket.send("whatever")
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{second.url}/metrics")).text
    assert "http_request_duration_seconds" in metrics
    assert 'status="101"' not in metrics
