"""Consuming domain events: in batches, acknowledged after the effect, retried, then parked.

Each subscription owns a durable queue. What fails alone goes through delay queues of that
subscription (1, 5, 30, 120 s) back into its queue, and in the end into `<queue>.parked`, unless
what failed was a store or a service that is away: that ends, and the event is tried until it does.
A message is acknowledged only when its effect is committed or it lies safely in one of those
queues, so a handler sees an event at least once and must be idempotent by the event's id or its
content.

Events are published in the order of their changes, but a handler must not need that order: an event
that was retried comes after later ones, and two instances of a service handle at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from pydantic import TypeAdapter, ValidationError

from pulse_sdk.contract.domain import ATTEMPT_HEADER, ERROR_HEADER, DomainEvent, EventType
from services.kit.cache import FAILURES
from services.kit.errors import ServiceError
from services.kit.observe import EVENT_LAG, EVENTS, correlation_id
from services.kit.outbox import declare_exchange
from services.kit.tasks import raise_if_cancelled
from services.kit.tracing import begin

log = logging.getLogger(__name__)

BATCH = 100
RETRY_SECONDS = (1, 5, 30, 120)
IDLE_SECONDS = 30.0
"""After so long without an event the consumer makes sure that it still is one."""
_REASON_CHARACTERS = 300
_adapter: TypeAdapter[DomainEvent] = TypeAdapter(DomainEvent)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events a queue gets and what is done with them.

    `handle` is given up to 100 events in order of arrival; when it raises for a batch, each event
    is handled again alone.
    """

    queue: str
    types: tuple[EventType, ...]
    handle: Callable[[list[DomainEvent]], Awaitable[None]]


async def consume(
    channel: AbstractChannel, queue: AbstractQueue, subscription: Subscription
) -> None:
    """Consume forever. Ends only by an error or by cancellation."""
    await channel.set_qos(prefetch_count=2 * BATCH)
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(arrived.put)
    while True:
        raise_if_cancelled()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                batch = [await arrived.get()]
        except TimeoutError:
            await _still_consumed(channel, subscription)
            continue
        while len(batch) < BATCH and not arrived.empty():
            batch.append(arrived.get_nowait())
        await _handle(channel, subscription, batch)
        # This channel has one consumer: its deliveries are in order and all up to here are done.
        await batch[-1].ack(multiple=True)


async def _still_consumed(channel: AbstractChannel, subscription: Subscription) -> None:
    """Fail when the broker has ended the consumer, which it does when a queue is deleted or moves.

    Raises:
        ConnectionError: nobody consumes the queue.
        aio_pika.exceptions.ChannelNotFoundEntity: it is gone.
    """
    queue = await channel.declare_queue(subscription.queue, passive=True)
    if queue.declaration_result.consumer_count == 0:
        raise ConnectionError(f"nothing consumes {subscription.queue} any more")


async def declare(channel: AbstractChannel, subscription: Subscription) -> AbstractQueue:
    """Make the subscription's queues and bindings, unless they are there."""
    exchange = await declare_exchange(channel)
    queue = await channel.declare_queue(subscription.queue, durable=True)
    for event_type in subscription.types:
        await queue.bind(exchange, routing_key=event_type)
    for seconds in RETRY_SECONDS:
        await channel.declare_queue(
            f"{subscription.queue}.retry.{seconds}s",
            durable=True,
            arguments={
                "x-message-ttl": seconds * 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": subscription.queue,
            },
        )
    await channel.declare_queue(_parked(subscription), durable=True)
    return queue


async def _handle(
    channel: AbstractChannel, subscription: Subscription, batch: list[AbstractIncomingMessage]
) -> None:
    events: list[tuple[AbstractIncomingMessage, DomainEvent]] = []
    for message in batch:
        try:
            events.append((message, _adapter.validate_json(message.body)))
        except ValidationError:
            log.exception("an event on %s cannot be read", subscription.queue)
            await _forward(channel, message, _parked(subscription), 0, "cannot be read")
    if len(events) > 1:
        try:
            await _apply(subscription, [event for _, event in events])
            return
        except Exception:
            log.warning("a batch on %s failed; handling each alone", subscription.queue)
    for message, event in events:
        try:
            await _apply(subscription, [event])
        except Exception as error:
            attempt = int(str(message.headers.get(ATTEMPT_HEADER, 0)))
            told = (event.type, event.id, attempt + 1, _reason(error))
            trace = not _is_away(error)
            log.warning("%s %s failed, attempt %d: %s", *told, exc_info=trace)
            EVENTS.labels(event.type, "failed").inc()
            target = _next_queue(subscription, attempt, error)
            await _forward(channel, message, target, attempt + 1, _reason(error))


async def _apply(subscription: Subscription, events: list[DomainEvent]) -> None:
    if not events:
        return
    alone = events[0] if len(events) == 1 else None
    token = correlation_id.set(alone.correlationid if alone else None)
    span = begin(
        f"handle {subscription.queue}",
        "CONSUMER",
        alone.traceparent if alone else None,
        () if alone else (event.traceparent for event in events),
    )
    failed = True
    try:
        await subscription.handle(events)
        failed = False
    finally:
        if span is not None:
            span.end({"messaging.batch.message_count": len(events)}, failed=failed)
        correlation_id.reset(token)
    now = datetime.now(UTC)
    for event in events:
        EVENT_LAG.labels(event.type).observe((now - event.time).total_seconds())
        EVENTS.labels(event.type, "handled").inc()


def _parked(subscription: Subscription) -> str:
    return f"{subscription.queue}.parked"


def _next_queue(subscription: Subscription, attempt: int, error: Exception) -> str:
    if attempt >= len(RETRY_SECONDS):
        if not _is_away(error):
            return _parked(subscription)
        attempt = len(RETRY_SECONDS) - 1
    return f"{subscription.queue}.retry.{RETRY_SECONDS[attempt]}s"


def _is_away(error: Exception) -> bool:
    """Whether something that the handler needs is away: that ends, however long it takes."""
    if isinstance(error, ServiceError):
        return error.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
    return isinstance(error, FAILURES)


def _reason(error: Exception) -> str:
    first_line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first_line}"[:_REASON_CHARACTERS].removesuffix(": ")


async def _forward(
    channel: AbstractChannel,
    message: AbstractIncomingMessage,
    queue: str,
    attempt: int,
    reason: str,
) -> None:
    copy = aio_pika.Message(
        message.body,
        headers={**message.headers, ATTEMPT_HEADER: attempt, ERROR_HEADER: reason},
        message_id=message.message_id,
        type=message.type,
        content_type=message.content_type,
        timestamp=datetime.now(UTC),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await channel.default_exchange.publish(copy, routing_key=queue)
