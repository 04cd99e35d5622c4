"""`pulse events` on a real broker: what is parked is shown, and replayed without loss."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from pulse_cli.errors import ConfigError, ExitCode, NotHealthy
from pulse_cli.parked import parked, replay
from pulse_sdk.contract.domain import ATTEMPT_HEADER, ERROR_HEADER
from tests.conftest import RunningStack
from tests.connected.people import until


@pytest.fixture
async def queue(channel: AbstractChannel) -> AsyncIterator[str]:
    """A queue and its parked queue, in which three events lie."""
    name = f"test.{uuid.uuid4().hex}"
    await channel.declare_queue(name, durable=True)
    await channel.declare_queue(f"{name}.parked", durable=True)
    for number in range(3):
        happened = datetime.now(UTC) - timedelta(hours=1)
        message = aio_pika.Message(
            json.dumps({"time": happened.isoformat()}).encode(),
            headers={ATTEMPT_HEADER: 5, ERROR_HEADER: f"KeyError: {number}", "traceparent": "t"},
            message_id=str(number),
            type="user.followed",
            timestamp=datetime.now(UTC),
        )
        await channel.default_exchange.publish(message, routing_key=f"{name}.parked")
    yield name
    await channel.queue_delete(name)
    await channel.queue_delete(f"{name}.parked")


async def _count(stack: RunningStack, queue: str) -> tuple[int, list[str | None]]:
    (found,) = await parked(stack.stack, stack.state, (queue,), 10)
    return found.parked, [event.id for event in found.events]


async def test_looking_changes_nothing(stack: RunningStack, queue: str) -> None:
    for _ in range(2):
        (found,) = await parked(stack.stack, stack.state, (queue,), 2)
        assert found.parked == 3
        assert [(event.id, event.error) for event in found.events] == [
            ("0", "KeyError: 0"),
            ("1", "KeyError: 1"),
        ]
        now = datetime.now(UTC)
        assert found.events[0].parked_at is not None
        assert found.events[0].happened_at is not None
        assert now - found.events[0].parked_at < timedelta(minutes=1)
        assert now - found.events[0].happened_at > timedelta(minutes=59)


async def test_a_replay_is_in_order_and_forgets_the_failures(
    stack: RunningStack, channel: AbstractChannel, queue: str
) -> None:
    assert await replay(stack.stack, stack.state, queue, 2) == 2
    assert await _count(stack, queue) == (1, ["2"])
    assert await replay(stack.stack, stack.state, queue, None) == 1
    source = await channel.get_queue(queue)
    for number in range(3):
        message = await source.get(no_ack=True)
        assert message is not None
        assert message.message_id == str(number)
        assert message.headers == {"traceparent": "t"}
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_a_replay_that_ends_half_way_loses_nothing(
    stack: RunningStack, channel: AbstractChannel, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(aio_pika.IncomingMessage, "ack", killed)
        with pytest.raises(KeyboardInterrupt):
            await replay(stack.stack, stack.state, queue, None)
    assert await _count(stack, queue) == (3, ["0", "1", "2"])
    source = await channel.get_queue(queue)
    assert source.declaration_result.message_count == 1  # handed in before it was to be taken out


async def test_what_no_queue_takes_stays_parked(
    stack: RunningStack, channel: AbstractChannel, queue: str
) -> None:
    await channel.queue_delete(queue)
    with pytest.raises(NotHealthy, match=queue):
        await replay(stack.stack, stack.state, queue, None)
    assert (await _count(stack, queue))[0] == 3


async def test_a_queue_that_is_not_there_is_named(stack: RunningStack) -> None:
    with pytest.raises(ConfigError, match=r"nothing.*social\.posts"):
        await replay(stack.stack, stack.state, "nothing", None)


async def test_an_event_that_a_service_cannot_read_is_shown_with_the_reason(
    stack: RunningStack, channel: AbstractChannel
) -> None:
    message = aio_pika.Message(b"no JSON", message_id="poison", type="post.created")
    await channel.default_exchange.publish(message, routing_key="social.posts")

    async def found() -> tuple[int, list[str | None]]:
        return await _count(stack, "social.posts")

    try:
        await until(found, (1, ["poison"]))
        shown = stack.pulse("events", "parked")
        assert shown.returncode == 0, shown.stderr
        assert "cannot be read" in shown.stdout
        listed = json.loads(stack.pulse("events", "parked", "--json", "social.posts").stdout)
        assert [event["id"] for event in listed["queues"][0]["events"]] == ["poison"]

        replayed = stack.pulse("events", "replay", "social.posts", "--json")
        assert json.loads(replayed.stdout) == {"queue": "social.posts", "replayed": 1}
        await until(found, (1, ["poison"]))
        assert stack.pulse("events", "replay", "nothing").returncode == ExitCode.USAGE
    finally:
        await (await channel.get_queue("social.posts.parked")).purge()
