"""How domain events that cannot be handled are retried and parked, on a real broker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from pulse_sdk.contract.domain import DomainEvent, FollowChanged, UserFollowedEvent
from services.kit import consumer
from services.kit.bus import Bus
from services.kit.consumer import Subscription
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.settings import Settings
from tests.conftest import RunningStack
from tests.connected.broker import connected, json_of
from tests.connected.people import settings_of, until

T = TypeVar("T")
Handle = Callable[[list[DomainEvent]], Awaitable[None]]

RETRIES = (1, 2)


class NoOutbox:
    """An outbox with nothing in it."""

    async def relay(self, _: AbstractChannel) -> None:
        await asyncio.Event().wait()


def _event() -> UserFollowedEvent:
    data = FollowChanged(follower_id=new_id(), followee_id=new_id())
    return UserFollowedEvent(
        id=new_id(), source="/services/test", time=datetime.now(UTC), data=data
    )


class Broker:
    """A connection of the test's own, to publish and to look into queues."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.queue = f"test.{uuid.uuid4().hex}"
        self.channel = channel
        self._connection = connection

    @property
    def queues(self) -> list[str]:
        suffixes = ("", ".parked", *(f".retry.{seconds}s" for seconds in RETRIES))
        return [self.queue + suffix for suffix in suffixes]

    async def publish(self, *events: UserFollowedEvent | str) -> None:
        for event in events:
            body = event if isinstance(event, str) else json_of(event)
            message = aio_pika.Message(
                body.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT, headers={"mine": 1}
            )
            await self.channel.default_exchange.publish(message, routing_key=self.queue)

    async def parked(self) -> list[str]:
        """What is parked, taken out of it."""
        queue = await self.channel.get_queue(f"{self.queue}.parked")
        found: list[str] = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            found.append(message.body.decode())
        return found

    async def consumers(self) -> int | None:
        """How many consume the queue; None while it is not there."""
        channel = await self._connection.channel()
        try:
            queue = await channel.declare_queue(self.queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return None
        await channel.close()
        return queue.declaration_result.consumer_count


@pytest.fixture
def settings(stack: RunningStack) -> Settings:
    return settings_of("notifications", stack.stack, stack.state)


@pytest.fixture
async def broker(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broker]:
    monkeypatch.setattr(consumer, "RETRY_SECONDS", RETRIES)
    async with connected(stack) as connection:
        broker = Broker(connection, await connection.channel())
        yield broker
        for queue in broker.queues:
            await broker.channel.queue_delete(queue)


@asynccontextmanager
async def _consuming(settings: Settings, broker: Broker, handle: Handle) -> AsyncIterator[None]:
    subscription = Subscription(broker.queue, ("user.unfollowed",), handle)
    bus = Bus(settings, NoOutbox(), (subscription,))  # type: ignore[arg-type]
    task = asyncio.create_task(bus.run())
    try:
        await until(broker.consumers, 1)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_fails_is_retried_then_parked_and_holds_nobody_up(
    settings: Settings, broker: Broker
) -> None:
    poison, fine = _event(), [_event() for _ in range(20)]
    handled: list[UUID] = []
    attempts: list[float] = []
    handled_before: list[int] = []
    all_published = asyncio.Event()

    async def handle(events: list[DomainEvent]) -> None:
        await all_published.wait()
        if poison.id in [event.id for event in events]:
            if len(events) == 1:
                attempts.append(time.monotonic())
                handled_before.append(len(handled))
            raise RuntimeError("cannot be handled")
        handled.extend(event.id for event in events)

    async with _consuming(settings, broker, handle):
        await broker.publish(*fine[:10], poison, *fine[10:])
        all_published.set()
        await until(broker.parked, [json_of(poison)])

    assert sorted(handled) == sorted(event.id for event in fine)
    assert handled_before[1:] == [len(fine)] * len(RETRIES), "those after it did not wait for it"
    _waited(attempts, RETRIES)


async def test_what_fails_once_succeeds_when_it_is_retried(
    settings: Settings, broker: Broker
) -> None:
    event = _event()
    attempts: list[UUID] = []

    async def handle(events: list[DomainEvent]) -> None:
        attempts.extend(event.id for event in events)
        if len(attempts) == 1:
            raise RuntimeError("not now")

    async with _consuming(settings, broker, handle):
        await broker.publish(event)
        await until(lambda: _now(attempts), [event.id, event.id])
        assert await broker.parked() == []


async def test_what_fails_since_something_is_away_is_never_parked(
    settings: Settings, broker: Broker
) -> None:
    event, attempts = _event(), list[float]()

    async def handle(_: list[DomainEvent]) -> None:
        attempts.append(time.monotonic())
        if len(attempts) <= len(RETRIES) + 1:
            raise ServiceError.unavailable("database")

    async with _consuming(settings, broker, handle):
        await broker.publish(event)
        await until(lambda: _now(len(attempts)), len(RETRIES) + 2)
        assert await broker.parked() == []

    _waited(attempts, (*RETRIES, RETRIES[-1]))


async def test_what_cannot_be_read_is_parked_at_once(settings: Settings, broker: Broker) -> None:
    event, handled = _event(), list[UUID]()
    unknown = json_of(event).replace("user.followed", "user.promoted")

    async def handle(events: list[DomainEvent]) -> None:
        handled.extend(event.id for event in events)

    async with _consuming(settings, broker, handle):
        await broker.publish("no JSON", unknown, event)
        await until(lambda: _now(handled), [event.id])
        assert await broker.parked() == ["no JSON", unknown]


async def test_what_was_not_acknowledged_is_delivered_again(
    settings: Settings, broker: Broker
) -> None:
    event, seen = _event(), list[UUID]()

    async def stuck(events: list[DomainEvent]) -> None:
        seen.extend(event.id for event in events)
        await asyncio.Event().wait()

    async def handle(events: list[DomainEvent]) -> None:
        seen.extend(event.id for event in events)

    async with _consuming(settings, broker, stuck):
        await broker.publish(event)
        await until(lambda: _now(seen), [event.id])
    async with _consuming(settings, broker, handle):
        await until(lambda: _now(seen), [event.id, event.id])


async def test_a_queue_that_was_deleted_is_made_and_consumed_again(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "IDLE_SECONDS", 0.2)
    event, handled = _event(), list[UUID]()

    async def handle(events: list[DomainEvent]) -> None:
        handled.extend(event.id for event in events)

    async with _consuming(settings, broker, handle):
        await broker.channel.queue_delete(broker.queue)
        await until(broker.consumers, 1)
        await broker.publish(event)
        await until(lambda: _now(handled), [event.id])


async def _now(value: T) -> T:
    return value


def _waited(attempts: Sequence[float], seconds: Sequence[float]) -> None:
    """That each attempt came so long after the one before; a busy machine may take longer."""
    waits = [later - earlier for earlier, later in pairwise(attempts)]
    assert len(waits) == len(seconds)
    # The broker counts in milliseconds.
    assert all(wait > least - 0.01 for wait, least in zip(waits, seconds, strict=True)), waits
