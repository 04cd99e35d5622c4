"""Live delivery over WebSockets, across instances, on a running stack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.messaging import MessageFrame, Typing, TypingFrame
from services.messaging import live
from services.messaging.app import create_app
from services.messaging.sockets import LIVE
from tests.conftest import RunningStack
from tests.connected.people import People, served, settings_of
from tests.connected.wire import WS, ended, listen, messages, opened, ready, send, silent, told


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


async def test_a_message_reaches_every_socket_of_its_recipients_on_every_instance(
    people: People, stack: RunningStack, second: Instance
) -> None:
    ada, ben, cleo, eve = [await people.new() for _ in range(4)]
    conversation = await opened(ada, ben, cleo)
    async with AsyncExitStack() as sockets:
        reached = [
            await sockets.enter_async_context(listen(url, person))
            for url, person in (
                (stack.gateway_url, ben),
                (stack.gateway_url, cleo),
                (second.url, ben),
                (second.url, ben),
            )
        ]
        others = [
            await sockets.enter_async_context(listen(stack.gateway_url, person))
            for person in (ada, eve)
        ]
        here = await send(ada, conversation, "By the gateway")
        again = await send(ada, conversation, "By the gateway")
        there = await send(ada, conversation, "By another instance", second.url)

        for socket in reached:
            assert await messages(socket, 2) == [here, there]
        assert again == here
        for socket in (*reached, *others):
            assert await silent(socket)


async def test_a_socket_ends_with_its_token(people: People, second: Instance) -> None:
    ends = time.time() + 2
    ada, late = await people.new(lives_seconds=2), await people.new(lives_seconds=-1)

    async with listen(second.url, ada) as socket:
        assert await ended(socket) == (4401, 1)
        assert time.time() >= ends

    with pytest.raises(InvalidStatus) as refused:
        await listen(second.url, late)
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
    ada, slow, quick = [await people.new() for _ in range(3)]
    conversation = await opened(ada, quick)
    typing = Typing(conversation_id=UUID(conversation), user_id=ada.id)
    frame, count = TypingFrame(data=typing).model_dump_json().encode() + b" " * 16_000, 2000
    async with (
        listen(second.url, slow, most_unread=1) as stuck,
        listen(second.url, quick) as socket,
    ):
        reading = asyncio.create_task(told(socket, MessageFrame))
        for _ in range(count):
            await second.live.tell([slow.id, quick.id], frame)
        sent = await send(ada, conversation, "Still there?")
        assert (await reading).data == sent

        code, received = await ended(stuck)
    assert code == 1013
    assert 0 < received < count


async def test_sockets_are_told_when_an_instance_goes_away(
    people: People, stack: RunningStack
) -> None:
    ada = await people.new()
    app = create_app(settings_of("messaging", stack.stack, stack.state))
    async with AsyncExitStack() as sockets:
        async with served(app) as url:
            socket = await sockets.enter_async_context(listen(url, ada))
            await ready(socket)
            waiting = asyncio.create_task(ended(socket))
        assert await waiting == (1001, 0), "told, not cut off"


async def test_the_life_of_a_socket_is_no_time_to_answer_a_request(
    people: People, second: Instance
) -> None:
    async with listen(second.url, await people.new()) as socket:
        await socket.ping()
        await socket.send("whatever")
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{second.url}/metrics")).text
    assert "http_request_duration_seconds" in metrics
    assert 'status="101"' not in metrics
