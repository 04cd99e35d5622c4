"""Who is writing and who is there, and what a socket makes of odd frames, on a running stack."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from pulse_sdk.contract.messaging import (
    SUBPROTOCOL,
    ErrorFrame,
    PresenceChange,
    PresenceFrame,
    Typing,
    TypingFrame,
)
from services.kit.ids import new_id
from services.messaging.app import create_app
from services.messaging.presence import PRESENT_SECONDS
from services.messaging.signals import FRAMES_PER_SECOND
from tests.conftest import RunningStack
from tests.connected.people import People, Person, served, settings_of, until
from tests.connected.wire import WS, listen, messages, opened, ready, send, silent, told


@pytest.fixture
async def second(stack: RunningStack) -> AsyncIterator[str]:
    """The address of one more instance of the messaging service."""
    async with served(create_app(settings_of("messaging", stack.stack, stack.state))) as url:
        yield url


def _typing(conversation: object) -> str:
    return json.dumps({"type": "typing", "data": {"conversation_id": str(conversation)}})


async def _online(person: Person, conversation: str) -> set[UUID]:
    answer = await person.http.get(f"/api/v1/conversations/{conversation}/presence")
    assert answer.status_code == 200, answer.text
    return {UUID(online) for online in answer.json()["online"]}


async def test_writing_is_told_to_the_others_for_a_while_only_once(
    people: People, stack: RunningStack, second: str
) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    conversation = await opened(ada, ben)
    async with (
        listen(stack.gateway_url, ada) as writing,
        listen(second, ben) as reading,
        listen(second, eve) as elsewhere,
    ):
        for socket in (writing, reading, elsewhere):
            await ready(socket)
        for _ in range(3):
            await writing.send(_typing(conversation))
        expected = Typing(conversation_id=UUID(conversation), user_id=ada.id)
        assert (await told(reading, TypingFrame)).data == expected
        for socket in (writing, reading, elsewhere):
            assert await silent(socket, TypingFrame)
        for place in (conversation, new_id()):
            await elsewhere.send(_typing(place))
            assert (await told(elsewhere, ErrorFrame)).data.code == "conversation_not_found"
        assert await silent(reading, TypingFrame)


async def test_presence_is_shown_to_those_who_share_a_conversation(
    people: People, stack: RunningStack, second: str
) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    conversation = await opened(ada, ben)
    async with (
        listen(stack.gateway_url, ada) as watching,
        listen(stack.gateway_url, eve) as stranger,
    ):
        await ready(watching)
        await ready(stranger)
        await until(lambda: _online(ben, conversation), {ada.id})
        async with AsyncExitStack() as sockets:
            for url in (second, stack.gateway_url):
                await ready(await sockets.enter_async_context(listen(url, ben)))
            came = await told(watching, PresenceFrame)
            assert came.data == PresenceChange(user_id=ben.id, online=True)
            await until(lambda: _online(ada, conversation), {ben.id})
            assert await silent(watching, PresenceFrame)
        went = await told(watching, PresenceFrame)
        assert went.data == PresenceChange(user_id=ben.id, online=False)
        assert await silent(watching, PresenceFrame)
        assert await silent(stranger, PresenceFrame)
        assert await _online(ada, conversation) == set()


async def test_presence_ends_by_itself_when_an_instance_dies(
    people: People, stack: RunningStack
) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    conversation = await opened(ada, ben, cleo)
    address = stack.stack.redis
    password = (stack.state / "secrets" / "operator" / "redis_password").read_text().strip()
    async with (
        Redis(host=address.host, port=address.port, password=password) as redis,
        listen(stack.gateway_url, ben) as socket,
    ):
        await ready(socket)
        await until(lambda: _online(ada, conversation), {ben.id})
        key = f"messaging:online:{ben.id}"
        assert 0 < await redis.ttl(key) <= PRESENT_SECONDS
        shown: Any = await redis.zrange(key, 0, -1, withscores=True)
        assert [0 < ends - time.time() <= PRESENT_SECONDS for _, ends in shown] == [True]
        # Cleo is shown by an instance that has not renewed it since it died.
        key = f"messaging:online:{cleo.id}"
        await redis.zadd(key, {"an instance that lives": time.time() + PRESENT_SECONDS})
        await until(lambda: _online(ada, conversation), {ben.id, cleo.id})
        await redis.delete(key)
        await redis.zadd(key, {"an instance that died": time.time() - 1})
        await until(lambda: _online(ada, conversation), {ben.id})


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "invalid_frame"),
        ("{", "invalid_frame"),
        ("[]", "invalid_frame"),
        (b"\x00", "invalid_frame"),
        ('{"type": 1}', "invalid_frame"),
        ('{"type": "typing"}', "invalid_frame"),
        ('{"type": "typing", "data": {"conversation_id": 1}}', "invalid_frame"),
        ('{"type": "typing", "data": {"conversation_id": "x"}, "more": 1}', "invalid_frame"),
        ('{"type": "shout"}', "unknown_frame"),
    ],
)
async def test_a_frame_that_cannot_be_served_is_answered_and_nothing_ends(
    people: People, stack: RunningStack, frame: str | bytes, code: str
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await opened(ada, ben)
    async with listen(stack.gateway_url, ben) as socket:
        await socket.send(frame)
        assert (await told(socket, ErrorFrame)).data.code == code
        sent = await send(ada, conversation, "Still here")
        assert await messages(socket, 1) == [sent]


async def test_a_client_that_says_too_much_is_told_once_and_not_heard(
    people: People, stack: RunningStack
) -> None:
    async with listen(stack.gateway_url, await people.new()) as socket:
        began = time.monotonic()
        codes: list[str] = []
        while "rate_limited" not in codes:  # a busy machine may need several rounds
            for _ in range(20 * FRAMES_PER_SECOND):
                await socket.send('{"type": "shout"}')
            with suppress(TimeoutError):
                while True:
                    codes.append((await told(socket, ErrorFrame, within=1)).data.code)
        earned = (time.monotonic() - began + 1) * FRAMES_PER_SECOND
        served = codes.count("unknown_frame")
        assert 2 * FRAMES_PER_SECOND <= served <= 2 * FRAMES_PER_SECOND + earned
        assert served + codes.count("rate_limited") < 20 * FRAMES_PER_SECOND, "told once"
        await socket.send('{"type": "shout"}')
        assert (await told(socket, ErrorFrame)).data.code == "unknown_frame", "heard again"


async def test_a_browser_shows_its_token_among_the_protocols_it_offers(
    people: People, stack: RunningStack, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await people.new()
    bearer = Subprotocol(f"bearer.{ada.token}")
    ours = Subprotocol(SUBPROTOCOL)
    for url in (stack.gateway_url, second):
        address = url.replace("http", "ws", 1) + WS
        async with connect(address, subprotocols=[ours, bearer]) as socket:
            assert socket.subprotocol == SUBPROTOCOL
            assert await ready(socket) == 0
        for offered in ([ours], [ours, Subprotocol("bearer.x")], [ours, Subprotocol("bearer.")]):
            with pytest.raises(InvalidStatus) as refused:
                await connect(address, subprotocols=offered)
            assert refused.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, subprotocols=[bearer])
        assert refused.value.response.status_code == 400
    async with httpx.AsyncClient() as client:
        other = await client.get(f"{second}{WS}", headers={"Sec-WebSocket-Protocol": "pulse.v9"})
    assert other.status_code == 400
    ours_alone = [r for r in caplog.records if not r.name.startswith(("websockets", "httpcore"))]
    assert ada.token not in "".join(record.getMessage() for record in ours_alone)
