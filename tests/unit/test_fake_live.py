"""The fake's WebSocket as its users meet it: messages, other frames, breaks, bots under way."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import httpx
import pytest

from pulse_sdk import (
    AsyncPulse,
    ConnectionFailed,
    InvalidInput,
    Retries,
    ServerError,
    UnreadableAnswer,
)
from pulse_sdk.testing import FakePulse, factories

POST = "POST /api/v1/posts"
SEND = "POST /api/v1/conversations/{conversation_id}/messages"
SOCKET = "GET /api/v1/ws"


@pytest.fixture
def fake() -> FakePulse:
    return FakePulse(patience=5)


def test_messages_arrive_live_in_one_thread(fake: FakePulse) -> None:
    ada, bot = fake.join("ada"), fake.join("bot")
    talk = ada.pulse.conversations.open([bot.id])
    with fake.client(bot) as client, client.realtime.messages() as frames:
        ada.pulse.conversations.send(talk.id, "One")
        assert next(frames).data.text == "One"
        fake.drop_connections(bot)
        ada.pulse.conversations.send(talk.id, "While it was away")
        assert next(frames).data.text == "While it was away"
        assert [sent.query for sent in fake.sent(SOCKET)] == [{}, {"after": "1"}]


def test_a_wait_for_a_frame_that_never_comes_fails_the_test() -> None:
    fake = FakePulse(patience=0.01)
    bot = fake.join("bot")
    with (
        bot.pulse.realtime.messages() as frames,
        pytest.raises(AssertionError, match=r"no frame came for bot within 0\.01 s"),
    ):
        next(frames)
    with pytest.raises(AssertionError, match=r"was sent 0 times by bot, not once, within 0\.01 s"):
        fake.wait_for(POST, by=bot)


async def test_an_asynchronous_wait_fails_as_well() -> None:
    fake = FakePulse(patience=0.01)
    bot = fake.join("bot")
    with pytest.raises(AssertionError, match="not 2 times"):
        await fake.wait_for_async(POST, times=2)
    async with fake.async_client(bot) as client, client.realtime.messages() as frames:
        with pytest.raises(AssertionError, match="no frame came for bot"):
            await anext(frames)


async def test_a_bot_that_runs_in_a_task_is_waited_for(fake: FakePulse) -> None:
    async def echo(client: AsyncPulse) -> None:
        async with client.realtime.messages() as frames:
            async for frame in frames:
                await client.conversations.send(frame.data.conversation_id, frame.data.text)

    ada, bot = fake.join("ada"), fake.join("bot")
    talk = ada.pulse.conversations.open([bot.id])
    async with fake.async_client(bot) as client:
        task = asyncio.create_task(echo(client))
        await fake.wait_for_async(SOCKET, by=bot)
        assert ada.pulse.conversations.presence(talk.id).online == [bot.id]
        ada.pulse.conversations.send(talk.id, "Hello?")
        [reply] = await fake.wait_for_async(SEND, by=bot)
        task.cancel()
        await asyncio.wait([task])
    assert reply.json == {"text": "Hello?"}
    assert ada.pulse.conversations.presence(talk.id).online == []


def test_a_bot_that_runs_in_a_thread_is_waited_for_and_closed(fake: FakePulse) -> None:
    ada, bot = fake.join("ada"), fake.join("bot")
    talk = ada.pulse.conversations.open([bot.id])
    heard: list[str] = []
    with fake.client(bot) as client:
        frames = client.realtime.messages()

        def listen() -> None:
            with frames:
                for frame in frames:
                    heard.append(frame.data.text)
                    client.conversations.mark_read(talk.id, frame.data.id)

        thread = threading.Thread(target=listen)
        thread.start()
        fake.wait_for(SOCKET, by=bot)
        ada.pulse.conversations.send(talk.id, "Hello?")
        fake.wait_for("PUT /api/v1/conversations/{conversation_id}/read", by=bot)
        frames.close()
        thread.join(10)
    assert not thread.is_alive()
    assert heard == ["Hello?"]


def test_who_writes_is_shown_and_not_too_often(fake: FakePulse) -> None:
    ada, ben = fake.join("ada"), fake.join("ben")
    talk = ada.pulse.conversations.open([ben.id])
    with ada.pulse.realtime.frames() as frames, ben.pulse.realtime.frames() as others:
        others.typing(talk.id)
        others.typing(talk.id)
        fake.advance(timedelta(seconds=3))
        others.typing(talk.id)
        assert [next(frames).type for _ in range(3)] == ["presence", "typing", "typing"]
        fake.drop_connections(ben)
        others.typing(talk.id)
        assert next(frames).type == "presence"


@pytest.mark.parametrize("after", [-1, 2**63])
def test_a_position_that_is_none_is_refused(fake: FakePulse, after: int) -> None:
    with pytest.raises(InvalidInput), fake.join("ada").pulse.realtime.messages(after=after):
        pass


def test_frames_and_notifications_can_be_made_up(fake: FakePulse) -> None:
    ada = fake.join("ada")
    with ada.pulse.realtime.frames() as frames:
        fake.notify(ada, factories.notification(kind="poll", subject={"poll": 1}))
        assert next(frames).data.kind == "poll"  # type: ignore[union-attr]
        fake.send_frame(ada, '{"type": "from the future"}')
        fake.send_frame(ada, factories.typing_frame())
        assert next(frames).type == "typing"
        fake.send_frame(ada, "no frame")
        with pytest.raises(UnreadableAnswer):
            next(frames)
    assert next(iter(ada.pulse.notifications.list())).kind == "poll"


def test_a_handshake_can_fail(fake: FakePulse) -> None:
    ada = fake.join("ada")
    fake.fail_next(SOCKET, retry_after=1)
    fake.answer_next(SOCKET, httpx.ConnectError("refused"))
    client = fake.client(ada, retries=Retries(limit=0))
    for error in (ServerError, ConnectionFailed):
        with pytest.raises(error):
            client.realtime.messages().__enter__()
    with client.realtime.messages() as frames:
        assert frames.position == 0


def test_a_connection_whose_token_ends_is_made_again_with_another(fake: FakePulse) -> None:
    ada, ben = fake.join("ada"), fake.join("ben")
    talk = ada.pulse.conversations.open([ben.id])
    with ben.pulse.realtime.messages() as frames:
        fake.advance(timedelta(hours=1))
        ada.pulse.conversations.send(talk.id, "Still there?")
        assert next(frames).data.text == "Still there?"
    assert len(fake.sent(SOCKET, by=ben)) == 2
