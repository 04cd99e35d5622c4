"""What is past its time is deleted, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.kit import retention
from services.kit.db import Database, Query, open_database
from services.kit.errors import ServiceError
from services.kit.ids import first_id_of, new_id
from services.kit.outbox import Outbox
from services.messaging.mail import MailStore
from services.notifications.store import NotificationStore
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, People, Person, settings_of

NOTIFY = Query(
    "test_notify",
    """INSERT INTO notifications (user_id, id, event_id, kind, subject, read, created_at)
    SELECT %(user)s, gen_random_uuid(), gen_random_uuid(), 'welcome', '{}', read,
        now() - days * interval '24 hours'
    FROM unnest(%(read)s::boolean[], %(days)s::int[]) AS given (read, days)""",
)
LEFT = Query(
    "test_left",
    """SELECT read, extract(day FROM now() - created_at)::int FROM notifications
    WHERE user_id = %(user)s ORDER BY created_at, read""",
)


async def test_notifications_go_when_they_are_old(stack: RunningStack) -> None:
    user = new_id()
    async with open_database(settings_of("notifications", stack.stack, stack.state)) as database:
        store = NotificationStore(database)
        days = [1, 89, 91, 1, 91, 179, 181]
        read = [True] * 3 + [False] * 4
        await database.execute(NOTIFY, {"user": user, "read": read, "days": days})
        while (batch := await store.expire(90, 180, limit=1)) is not None:
            assert batch <= 2
        left = await database.rows(LEFT, {"user": user})
        assert left == [(False, 179), (False, 91), (True, 89), (False, 1), (True, 1)]
        assert await store.unread(user) == 3


@pytest.fixture
async def mail(stack: RunningStack) -> AsyncIterator[tuple[Database, MailStore]]:
    settings = settings_of("messaging", stack.stack, stack.state)
    async with open_database(settings) as database:
        yield database, MailStore(database, Outbox(settings, database))


async def talk(people: People, texts: int) -> tuple[Person, Person, str, list[UUID]]:
    """Two people, their conversation, and what the first said in it."""
    ada, bob = await people.new(), await people.new()
    path = "/api/v1/conversations"
    conversation = (await ada.http.post(path, json={"member_ids": [str(bob.id)]})).json()["id"]
    messages = f"{path}/{conversation}/messages"
    said = [
        UUID((await ada.http.post(messages, json={"text": str(n)})).json()["id"])
        for n in range(texts)
    ]
    return ada, bob, conversation, said


async def expired(mail: MailStore, days: int) -> int:
    deleted = 0
    while (batch := await mail.expire(days)) is not None:
        deleted += batch
    return deleted


async def test_only_what_was_read_is_no_longer_delivered(
    people: People, mail: tuple[Database, MailStore]
) -> None:
    _, store = mail
    _, bob, conversation, said = await talk(people, 5)
    mark = f"/api/v1/conversations/{conversation}/read"
    assert (await bob.http.put(mark, json={"message_id": str(said[2])})).json() == {"unread": 2}

    await expired(store, days=1)
    assert [d.position for d in await store.deliveries(bob.id, 0, 9)] == [1, 2, 3, 4, 5]

    await expired(store, days=-1)  # as if all that was said were a day older than is kept
    assert [d.position for d in await store.deliveries(bob.id, 0, 9)] == [4, 5]

    # Marks go on as before, of what is gone and of what is left.
    assert (await bob.http.put(mark, json={"message_id": str(said[0])})).json() == {"unread": 2}
    assert (await bob.http.put(mark, json={"message_id": str(said[3])})).json() == {"unread": 1}
    assert (await bob.http.put(mark, json={"message_id": str(said[4])})).json() == {"unread": 0}
    await expired(store, days=-1)
    assert [d.position for d in await store.deliveries(bob.id, 0, 9)] == [5]
    history = (await bob.http.get(f"/api/v1/conversations/{conversation}/messages")).json()
    assert [message["text"] for message in history["items"]] == ["4", "3", "2", "1", "0"]


def test_an_id_of_a_moment_lies_between_those_made_before_and_after() -> None:
    now = datetime.now(UTC)
    assert (
        first_id_of(now - timedelta(seconds=1))
        < new_id()
        < first_id_of(now + timedelta(seconds=60))
    )


async def test_deleting_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(retention, "_PAUSE_SECONDS", 0.0)
    answers: list[int | Exception | None] = [
        2,
        ServiceError.unavailable("database"),
        RuntimeError("odd"),
        1,
        None,
        None,
    ]
    done = asyncio.Event()

    async def batch() -> int | None:
        answer = answers.pop(0)
        if not answers:
            done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = asyncio.create_task(retention.expire("test", batch))
    async with asyncio.timeout(WITHIN):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
