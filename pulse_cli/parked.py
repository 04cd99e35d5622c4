"""Domain events that a service could not handle: looking at them, and handing them in again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, PublishError

from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.programs import BROKER_USER, BROKER_VHOST
from pulse_cli.stack.model import SUBSCRIPTIONS, Stack
from pulse_cli.stack.secrets import OPERATOR, ensure_secrets
from pulse_sdk.contract.domain import ATTEMPT_HEADER, ERROR_HEADER

_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class ParkedEvent:
    """A parked event; what the message does not tell is None."""

    type: str | None
    id: str | None
    happened_at: datetime | None
    parked_at: datetime | None
    error: str | None
    """Why it failed last."""


@dataclass(frozen=True)
class ParkedQueue:
    """The parked events of one queue."""

    queue: str
    parked: int
    events: list[ParkedEvent]
    """The first of them, oldest parked first."""


async def parked(
    stack: Stack, state: Path, queues: tuple[str, ...], most: int
) -> list[ParkedQueue]:
    """Look at the parked events of these queues, at most `most` of each, and leave them there.

    Raises:
        ConfigError: there is no such queue.
        NotHealthy: RabbitMQ cannot be reached.
    """
    found: list[ParkedQueue] = []
    async with _connected(stack, state) as connection:
        for queue in queues:
            # What a closed channel was given and did not acknowledge goes back to its place.
            async with connection.channel() as channel:
                source = await _parked_queue(channel, queue)
                count = source.declaration_result.message_count or 0
                events: list[ParkedEvent] = []
                while len(events) < min(most, count):
                    message = await source.get(fail=False)
                    if message is None:
                        break
                    events.append(_described(message))
                found.append(ParkedQueue(queue, count, events))
    return found


async def replay(stack: Stack, state: Path, queue: str, most: int | None) -> int:
    """Hand parked events in to their queue again, oldest first; how many.

    Each leaves the parked queue only when the broker has confirmed that it lies in the other: a
    replay that is killed may hand one in twice, which consumers do not mind, and loses none. What
    is parked again meanwhile is not taken up again.

    Raises:
        ConfigError: there is no such queue.
        NotHealthy: RabbitMQ cannot be reached, or did not take an event.
    """
    async with (
        _connected(stack, state) as connection,
        connection.channel(publisher_confirms=True, on_return_raises=True) as channel,
    ):
        source = await _parked_queue(channel, queue)
        count = source.declaration_result.message_count or 0
        replayed = 0
        while replayed < (count if most is None else min(most, count)):
            message = await source.get(fail=False)
            if message is None:
                break
            try:
                await channel.default_exchange.publish(_fresh(message), routing_key=queue)
            except PublishError as error:
                raise NotHealthy(
                    f"RabbitMQ has no queue {queue}, so the event stays parked; "
                    "start the service that consumes it with: pulse up"
                ) from error
            await message.ack()
            replayed += 1
    return replayed


@asynccontextmanager
async def _connected(stack: Stack, state: Path) -> AsyncIterator[aio_pika.abc.AbstractConnection]:
    broker = stack.rabbitmq
    try:
        async with await aio_pika.connect(
            host=broker.host,
            port=broker.port,
            login=BROKER_USER,
            password=ensure_secrets(state).get(OPERATOR, "rabbitmq_password"),
            virtualhost=BROKER_VHOST,
            timeout=_CONNECT_SECONDS,
        ) as connection:
            yield connection
    except (AMQPError, OSError, TimeoutError) as error:
        raise NotHealthy(
            f"RabbitMQ does not answer on {broker.host}:{broker.port} ({error!r}); "
            "see: pulse logs rabbitmq"
        ) from error


async def _parked_queue(channel: AbstractChannel, queue: str) -> AbstractQueue:
    try:
        return await channel.declare_queue(f"{queue}.parked", passive=True)
    except ChannelNotFoundEntity:
        known = ", ".join(SUBSCRIPTIONS)
        raise ConfigError(f"there is no queue {queue!r}; services have {known}") from None


def _fresh(message: AbstractIncomingMessage) -> aio_pika.Message:
    """The message as it was first published."""
    past = {ATTEMPT_HEADER, ERROR_HEADER}
    headers = {name: value for name, value in message.headers.items() if name not in past}
    return aio_pika.Message(
        message.body,
        headers=headers,
        message_id=message.message_id,
        type=message.type,
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _described(message: AbstractIncomingMessage) -> ParkedEvent:
    error = message.headers.get(ERROR_HEADER)
    return ParkedEvent(
        type=message.type,
        id=message.message_id,
        happened_at=_happened_at(message.body),
        parked_at=None if message.timestamp is None else message.timestamp.astimezone(UTC),
        error=None if error is None else str(error),
    )


def _happened_at(body: bytes) -> datetime | None:
    try:
        return datetime.fromisoformat(json.loads(body)["time"])
    except (ValueError, TypeError, KeyError):
        return None  # it may be parked because it cannot be read
