"""The outbox: a domain event is written with the row it tells of, and published afterwards.

A statement that changes something also inserts into `outbox` (one statement, one transaction), so
an event exists exactly when its change does. One instance of a service at a time relays the
service's outbox: it publishes with confirms and deletes what the broker has confirmed. A crash in
between publishes again, hence consumers are idempotent by event id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import aio_pika
import aiopg
import psycopg2
from aio_pika.abc import AbstractChannel, AbstractExchange
from pydantic import BaseModel

from pulse_sdk.contract import domain
from services.kit.connection import Connection
from services.kit.db import Database, Params, Query, dsn
from services.kit.ids import new_id
from services.kit.observe import correlation_id
from services.kit.settings import Settings
from services.kit.tasks import raise_if_cancelled
from services.kit.tracing import traceparent

log = logging.getLogger(__name__)

E = TypeVar("E", bound=BaseModel)


def timed(envelope: str) -> str:
    """SQL: an envelope, given as SQL, with the time that it is there."""
    return f"jsonb_set({envelope}::jsonb, '{{time}}', to_jsonb(clock_timestamp()))::text"


INSERT = f"""INSERT INTO outbox (id, type, envelope)
SELECT %(event_id)s, %(event_type)s, {timed("%(event_envelope)s")}"""
"""To be placed in a data-modifying CTE; append `FROM …` to make it depend on another's rows.

The event's time is taken again here, by PostgreSQL's clock and after those rows are locked. Of two
changes to one thing the later one so has the later time, whichever instance began first, and a
consumer that keeps what is newest ends with what is true.
"""

_BATCH = 200
_POLL_SECONDS = 0.2
_LINGER_SECONDS = 0.02
_ADVISORY_LOCK = 0x50554C53  # "PULS": one relay at a time in a database

_PENDING = Query(
    "outbox_pending", f"SELECT id, type, envelope FROM outbox ORDER BY position LIMIT {_BATCH}"
)
_PUBLISHED = Query("outbox_published", "DELETE FROM outbox WHERE id = ANY(%(ids)s)")


def envelope(event: type[E], service: str, data: BaseModel) -> E:
    """A domain event that happened now, with the correlation id of what is being served."""
    return event(
        id=new_id(),
        source=f"/services/{service}",
        time=datetime.now(UTC),
        correlationid=correlation_id.get(),
        traceparent=traceparent.get(),
        data=data,
    )


def event_params(event: BaseModel) -> dict[str, object]:
    """The parameters that `INSERT` takes."""
    return {
        "event_id": event.id,  # type: ignore[attr-defined]
        "event_type": event.type,  # type: ignore[attr-defined]
        "event_envelope": event.model_dump_json(exclude_none=True),
    }


class Outbox:
    """Relays this service's outbox while it holds the relay's lock."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._written = asyncio.Event()

    def wake(self) -> None:
        """Tell the relay that a row was written, so that it need not wait for its next poll."""
        self._written.set()

    async def relay(self, channel: AbstractChannel) -> None:
        """Publish forever. Ends only by an error or by cancellation."""
        exchange = await declare_exchange(channel)
        async with aiopg.connect(
            dsn(self._settings, session=True), timeout=5.0, connection_factory=Connection
        ) as connection:
            await self._lead(connection)
            while True:
                if await self._publish_batch(exchange) == 0:
                    await self._wait(connection)

    async def _lead(self, connection: aiopg.Connection) -> None:
        async with connection.cursor() as cursor:
            while True:
                await cursor.execute("SELECT pg_try_advisory_lock(%s)", (_ADVISORY_LOCK,))
                raise_if_cancelled()
                if (await cursor.fetchone())[0]:
                    return
                await asyncio.sleep(1.0)

    async def _wait(self, connection: aiopg.Connection) -> None:
        """Until a row may be there; the lead is lost with the connection that holds its lock."""
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._written.wait()
            # A short wait lets writes of the same moment share one batch.
            await asyncio.sleep(_LINGER_SECONDS)
        except TimeoutError:
            if connection.closed:
                raise psycopg2.OperationalError("the relay's connection was closed") from None
        self._written.clear()

    async def _publish_batch(self, exchange: AbstractExchange) -> int:
        rows = await self._database.rows(_PENDING)
        if not rows:
            return 0
        await asyncio.gather(*(exchange.publish(_message(row), routing_key=row[1]) for row in rows))
        await self._database.execute(_PUBLISHED, {"ids": [row[0] for row in rows]})
        return len(rows)


def _message(row: Sequence[object]) -> aio_pika.Message:
    event_id, event_type, body = row
    return aio_pika.Message(
        str(body).encode(),
        message_id=str(event_id),
        type=str(event_type),
        content_type="application/cloudevents+json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


async def declare_exchange(channel: AbstractChannel) -> AbstractExchange:
    """The exchange of all domain events."""
    return await channel.declare_exchange(
        domain.EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True
    )


def with_event(params: Params, event: BaseModel) -> dict[str, object]:
    """A statement's own parameters and those of the event it writes."""
    return {**params, **event_params(event)}
