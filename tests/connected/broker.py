"""The broker of a running stack, by a connection of the test's own, and what goes round on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import aio_pika
import psycopg2
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from pydantic import BaseModel

from pulse_cli.stack.model import ServiceName
from pulse_sdk.contract import domain
from services.kit.db import dsn
from services.kit.settings import Settings
from tests.conftest import RunningStack
from tests.connected.people import settings_of, until


@asynccontextmanager
async def connected(stack: RunningStack) -> AsyncIterator[AbstractConnection]:
    """A connection to the stack's broker."""
    settings = settings_of("posts", stack.stack, stack.state)
    async with await aio_pika.connect(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        login=settings.rabbitmq_user,
        password=settings.rabbitmq_password.get_secret_value(),
        virtualhost=settings.rabbitmq_vhost,
    ) as connection:
        yield connection


def json_of(event: BaseModel) -> str:
    """A domain event as it is published."""
    return event.model_dump_json(exclude_none=True)


async def publish(channel: AbstractChannel, event: BaseModel) -> None:
    """Publish a domain event, as a service's relay does."""
    exchange = await channel.get_exchange(domain.EXCHANGE, ensure=False)
    key = event.type  # type: ignore[attr-defined]
    await exchange.publish(aio_pika.Message(json_of(event).encode()), routing_key=key)


class Heard:
    """Domain events of one service, in the order in which they were published."""

    def __init__(self, queue: AbstractQueue, settings: Settings) -> None:
        self._queue = queue
        self._settings = settings

    async def data(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of each event of what has been done so far."""
        await until(lambda: asyncio.to_thread(self._unpublished), 0)
        found: list[tuple[str, dict[str, Any]]] = []
        while (message := await self._queue.get(no_ack=True, fail=False)) is not None:
            found.append((str(message.type), json.loads(message.body)["data"]))
        return found

    def _unpublished(self) -> int:
        """How many events the broker has not confirmed."""
        with (
            closing(psycopg2.connect(dsn(self._settings))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT FROM outbox")
            return cursor.rowcount


@asynccontextmanager
async def heard(stack: RunningStack, service: ServiceName, *types: str) -> AsyncIterator[Heard]:
    """Listen to domain events of these types, all of one service."""
    async with connected(stack) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for event_type in types:
            await queue.bind(domain.EXCHANGE, routing_key=event_type)
        yield Heard(queue, settings_of(service, stack.stack, stack.state))
