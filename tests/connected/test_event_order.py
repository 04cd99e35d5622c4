"""Consumers end in the same state in whatever order events arrive, and however often."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aio_pika
import psycopg2
import pytest
from aio_pika.abc import AbstractChannel

from pulse_cli.stack.model import ServiceName
from pulse_sdk.contract.domain import (
    BlockChanged,
    DomainEvent,
    FollowChanged,
    PostCreatedEvent,
    PostDeletedEvent,
    UserBlockedEvent,
    UserChanged,
    UserFollowedEvent,
    UserRegisteredEvent,
    UserUnblockedEvent,
    UserUpdatedEvent,
)
from services.kit import outbox
from services.kit.db import dsn
from services.kit.ids import new_id
from services.kit.outbox import event_params
from services.kit.settings import Settings
from tests.conftest import RunningStack
from tests.connected.broker import json_of
from tests.connected.people import settings_of, until

Rows = set[tuple[Any, ...]]

SEEDS = (1, 2, 3)
"""Orders that are tried; a failure names its own."""
THINGS = 40
CHANGES = 5


class Made:
    """Events of things that belong to the test alone."""

    def __init__(self) -> None:
        self.ids = [new_id() for _ in range(THINGS)]
        self.other = new_id()
        self._now = datetime.now(UTC)

    def _told(self) -> dict[str, Any]:
        self._now += timedelta(microseconds=1)
        return {"id": new_id(), "source": "/services/test", "time": self._now}

    def posts(self) -> tuple[list[DomainEvent], Rows]:
        """Posts, of which every second is deleted."""
        events: list[DomainEvent] = []
        for number, post_id in enumerate(self.ids):
            post = {"post_id": post_id, "author_id": self.other}
            events.append(PostCreatedEvent.model_validate({**self._told(), "data": post}))
            if number % 2:
                events.append(PostDeletedEvent.model_validate({**self._told(), "data": post}))
        return events, {(post_id,) for post_id in self.ids[::2]}

    def blocks(self) -> tuple[list[DomainEvent], Rows]:
        """People who block and unblock somebody in turn; every second ends with a block."""
        events: list[DomainEvent] = []
        for number, blocker_id in enumerate(self.ids):
            data = BlockChanged(blocker_id=blocker_id, blocked_id=self.other)
            for change in range(CHANGES + number % 2):
                kind = UserUnblockedEvent if change % 2 else UserBlockedEvent
                events.append(kind(**self._told(), data=data))
        return events, {(blocker_id,) for blocker_id in self.ids[::2]}

    def names(self) -> tuple[list[DomainEvent], Rows]:
        """People who register and change their names."""
        events: list[DomainEvent] = []
        for user_id in self.ids:
            for change in range(CHANGES):
                kind = UserUpdatedEvent if change else UserRegisteredEvent
                data = UserChanged(user_id=user_id, username="ada", display_name=f"Ada {change}")
                events.append(kind(**self._told(), data=data))
        return events, {(user_id, f"Ada {CHANGES - 1}") for user_id in self.ids}

    def follows(self) -> tuple[list[DomainEvent], Rows]:
        """Follows, each of which tells the one who is followed once."""
        events: list[DomainEvent] = [
            UserFollowedEvent(
                **self._told(), data=FollowChanged(follower_id=follower, followee_id=self.other)
            )
            for follower in self.ids
        ]
        return events, {(follower, 1) for follower in self.ids}


CASES: Sequence[tuple[ServiceName, str, Callable[[Made], tuple[list[DomainEvent], Rows]], str]] = (
    (
        "social",
        "social.posts",
        Made.posts,
        "SELECT post_id FROM author_posts WHERE post_id = ANY(%(ids)s)",
    ),
    (
        "messaging",
        "messaging.blocks",
        Made.blocks,
        "SELECT blocker_id FROM blocks WHERE active AND blocker_id = ANY(%(ids)s)",
    ),
    (
        "notifications",
        "notifications.events",
        Made.blocks,
        "SELECT blocker_id FROM blocks WHERE blocked AND blocker_id = ANY(%(ids)s)",
    ),
    (
        "notifications",
        "notifications.events",
        Made.follows,
        "SELECT actor_id, count(*) FROM notifications WHERE actor_id = ANY(%(ids)s) GROUP BY 1",
    ),
    (
        "posts",
        "posts.authors",
        Made.names,
        "SELECT user_id, display_name FROM authors WHERE user_id = ANY(%(ids)s)",
    ),
)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("service", "queue", "make", "query"), CASES, ids=[f"{c[1]}-{c[2].__name__}" for c in CASES]
)
async def test_neither_order_nor_repetition_matters(
    stack: RunningStack,
    channel: AbstractChannel,
    service: ServiceName,
    queue: str,
    make: Callable[[Made], tuple[list[DomainEvent], Rows]],
    query: str,
    seed: int,
) -> None:
    made = Made()
    events, expected = make(made)
    arriving = events * 2
    random.Random(seed).shuffle(arriving)
    for event in arriving:
        message = aio_pika.Message(json_of(event).encode())
        await channel.default_exchange.publish(message, routing_key=queue)
    await until(lambda: _left(channel, queue), 0)
    settings = settings_of(service, stack.stack, stack.state)

    async def found() -> Rows:
        return await asyncio.to_thread(_rows, settings, query, made.ids)

    await until(found, expected)
    # Nothing that is still on its way changes it.
    await asyncio.sleep(0.3)
    assert await found() == expected


async def _left(channel: AbstractChannel, queue: str) -> int | None:
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count


def _rows(settings: Settings, query: str, ids: Sequence[UUID]) -> Rows:
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        cursor.execute(query, {"ids": list(ids)})
        return set(cursor.fetchall())


async def test_the_time_of_an_event_is_that_of_its_change(stack: RunningStack) -> None:
    """It is not when the instance that made the change was asked to: others may have come first."""
    settings = settings_of("social", stack.stack, stack.state)
    data = FollowChanged(follower_id=new_id(), followee_id=new_id())
    event = UserFollowedEvent(
        id=new_id(), source="/services/test", time=datetime(2000, 1, 1, tzinfo=UTC), data=data
    )
    params = event_params(event)
    insert = f"{outbox.INSERT} RETURNING envelope"
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        before = datetime.now(UTC)
        cursor.execute(insert, params)
        (written,) = cursor.fetchone() or ("",)
    told = UserFollowedEvent.model_validate_json(written)
    assert before <= told.time <= datetime.now(UTC)
    assert told.model_copy(update={"time": event.time}) == event
