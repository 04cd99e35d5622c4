"""The service's link to RabbitMQ: relay and consumers on one connection, made again if lost."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from services.kit.consumer import Subscription, consume, declare
from services.kit.outbox import Outbox
from services.kit.settings import Settings

log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 10
_RECONNECT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class Bus:
    """Keeps the outbox relayed and the subscriptions consumed while the service lives."""

    def __init__(
        self, settings: Settings, outbox: Outbox, subscriptions: Sequence[Subscription]
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._subscriptions = subscriptions
        trusted = settings.store_ca
        self._tls = ssl.create_default_context(cafile=trusted) if settings.rabbitmq_tls else None
        self.connected = False
        """Whether RabbitMQ answers."""

    async def run(self) -> None:
        """Connect, work until anything fails, connect again; ends by cancellation only."""
        failures = 0
        while True:
            try:
                await self._work_once()
            except* Exception as group:
                if self.connected:
                    failures = 0
                log.warning("the link to RabbitMQ ended: %r", group.exceptions)
            self.connected = False
            await asyncio.sleep(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])
            failures += 1

    async def _work_once(self) -> None:
        async with await self._connect() as connection, asyncio.TaskGroup() as tasks:
            for subscription in self._subscriptions:
                # An event that is passed on to a queue which is not there must not be acknowledged.
                channel = await connection.channel(on_return_raises=True)
                # Before the service counts as ready, or events published until then would be lost.
                queue = await declare(channel, subscription)
                tasks.create_task(consume(channel, queue, subscription))
                tasks.create_task(_until_closed(channel))
            channel = await connection.channel()
            tasks.create_task(self._outbox.relay(channel))
            tasks.create_task(_until_closed(channel))
            self.connected = True

    async def _connect(self) -> AbstractConnection:
        return await aio_pika.connect(
            host=self._settings.rabbitmq_host,
            port=self._settings.rabbitmq_port,
            login=self._settings.rabbitmq_user,
            password=self._settings.rabbitmq_password.get_secret_value(),
            virtualhost=self._settings.rabbitmq_vhost,
            timeout=5.0,
            heartbeat=_HEARTBEAT_SECONDS,
            ssl=self._settings.rabbitmq_tls,
            ssl_context=self._tls,
        )


async def _until_closed(channel: AbstractChannel) -> None:
    """Fail as soon as the channel is closed: a consumer on a closed channel waits in silence."""
    closed = asyncio.get_running_loop().create_future()

    def on_close(_: object, reason: BaseException | None = None) -> None:
        if not closed.done():
            closed.set_result(reason)

    channel.close_callbacks.add(on_close)
    reason = await closed
    raise ConnectionError(f"the channel was closed: {reason!r}")
