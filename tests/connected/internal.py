"""Calls below `/internal`, the events that go round, and plans of queries, on a running stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
from aio_pika.abc import AbstractIncomingMessage

from pulse_cli.stack.model import ServiceName
from pulse_sdk.contract import domain
from services.kit.auth import service_token
from tests.conftest import RunningStack
from tests.connected.people import settings_of


def instance_url(stack: RunningStack, service: ServiceName) -> str:
    """The base URL of a service's first instance."""
    return f"http://127.0.0.1:{stack.stack.services[service].port}"


async def internal(
    stack: RunningStack,
    caller: str,
    service: ServiceName,
    path: str,
    body: dict[str, Any] | None = None,
    **params: str | int,
) -> httpx.Response:
    """Call a service as another one does: POST with a body, else GET."""
    settings = settings_of(service, stack.stack, stack.state).model_copy(update={"name": caller})
    headers = {"Authorization": f"Bearer {service_token(settings, service)}"}
    method = "GET" if body is None else "POST"
    url = instance_url(stack, service) + path
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.request(method, url, json=body, params=params, headers=headers)


class Heard:
    """Domain events in the order they were published."""

    def __init__(self, arrived: asyncio.Queue[AbstractIncomingMessage]) -> None:
        self._arrived = arrived

    async def data(self, quiet_seconds: float = 0.7) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of each event so far, once none has come for a while."""
        found: list[tuple[str, dict[str, Any]]] = []
        while True:
            try:
                message = await asyncio.wait_for(self._arrived.get(), quiet_seconds)
            except TimeoutError:
                return found
            found.append((str(message.type), json.loads(message.body)["data"]))


@asynccontextmanager
async def heard(stack: RunningStack, *types: str) -> AsyncIterator[Heard]:
    """Listen to domain events of these types."""
    settings = settings_of("posts", stack.stack, stack.state)
    async with await aio_pika.connect(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        login=settings.rabbitmq_user,
        password=settings.rabbitmq_password.get_secret_value(),
        virtualhost=settings.rabbitmq_vhost,
    ) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for event_type in types:
            await queue.bind(domain.EXCHANGE, routing_key=event_type)
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(arrived.put, no_ack=True)
        yield Heard(arrived)
