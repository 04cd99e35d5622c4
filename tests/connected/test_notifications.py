"""What people are told of when domain events arrive, on a running stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from pydantic import BaseModel

from pulse_sdk.contract import domain
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.people import People, Person, code, settings_of, until

NOTIFICATIONS = "/api/v1/notifications"

Publish = Callable[[BaseModel], Awaitable[None]]


@pytest.fixture
async def publish(stack: RunningStack) -> AsyncIterator[Publish]:
    """Publishes a domain event as a service's relay does."""
    settings = settings_of("notifications", stack.stack, stack.state)
    async with await aio_pika.connect(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        login=settings.rabbitmq_user,
        password=settings.rabbitmq_password.get_secret_value(),
        virtualhost=settings.rabbitmq_vhost,
    ) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(domain.EXCHANGE)

        async def publish(event: BaseModel) -> None:
            key = event.type  # type: ignore[attr-defined]
            body = event.model_dump_json(exclude_none=True).encode()
            await exchange.publish(aio_pika.Message(body), routing_key=key)

        yield publish


def _envelope() -> dict[str, Any]:
    return {"id": new_id(), "source": "/services/test", "time": datetime.now(UTC)}


async def _list(person: Person, **params: Any) -> list[dict[str, Any]]:
    answer = await person.http.get(NOTIFICATIONS, params=params)
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def _unread(person: Person) -> int:
    return int((await person.http.get(f"{NOTIFICATIONS}/unread")).json()["unread"])


def _event(kind: str, concerned: UUID, actor: UUID, ids: dict[str, UUID]) -> BaseModel:
    """The domain event that makes a notification of this kind."""
    envelope = _envelope()
    match kind:
        case "welcome":
            changed = domain.UserChanged(user_id=concerned, username="ada", display_name="Ada")
            return domain.UserRegisteredEvent(**envelope, data=changed)
        case "follower":
            follow = domain.FollowChanged(follower_id=actor, followee_id=concerned)
            return domain.UserFollowedEvent(**envelope, data=follow)
        case "like":
            like = domain.PostLiked(author_id=concerned, liked_by=actor, **ids)
            return domain.PostLikedEvent(**envelope, data=like)
        case "comment":
            comment = domain.CommentCreated(post_author_id=concerned, author_id=actor, **ids)
            return domain.CommentCreatedEvent(**envelope, data=comment)
        case "message":
            sent = domain.MessageSent(sender_id=actor, recipient_ids=[concerned, new_id()], **ids)
            return domain.MessageSentEvent(**envelope, data=sent)
        case _:
            rsvp = domain.EventRsvp(creator_id=concerned, user_id=actor, answer="yes", **ids)
            return domain.EventRsvpEvent(**envelope, data=rsvp)


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("welcome", ()),
        ("follower", ()),
        ("like", ("post_id",)),
        ("comment", ("post_id", "comment_id")),
        ("message", ("conversation_id", "message_id")),
        ("rsvp", ("event_id",)),
    ],
)
async def test_each_kind_of_event_tells_whom_it_concerns_once(
    people: People, publish: Publish, kind: str, about: tuple[str, ...]
) -> None:
    ada, ben = await people.new(), await people.new()
    ids = {name: new_id() for name in about}
    event = _event(kind, ada.id, ben.id, ids)

    for _ in range(3):  # the broker may deliver an event more than once
        await publish(event)
    await until(lambda: _unread(ada), 1)

    (told,) = await _list(ada)
    assert told["kind"] == kind
    assert told["actor_id"] == (None if kind == "welcome" else str(ben.id))
    extra = {"answer": "yes"} if kind == "rsvp" else {}
    assert told["subject"] == {name: str(value) for name, value in ids.items()} | extra
    assert told["read"] is False
    assert await _list(ben) == []


@pytest.mark.parametrize("kind", ["like", "comment", "message", "rsvp"])
async def test_nobody_is_told_of_what_they_did_themselves(
    people: People, publish: Publish, kind: str
) -> None:
    ada = await people.new()
    about = {
        "like": ("post_id",),
        "comment": ("post_id", "comment_id"),
        "message": ("conversation_id", "message_id"),
        "rsvp": ("event_id",),
    }[kind]

    await publish(_event(kind, ada.id, ada.id, {name: new_id() for name in about}))
    await publish(_event("welcome", ada.id, ada.id, {}))  # one queue: it comes after

    await until(lambda: _unread(ada), 1)
    assert [item["kind"] for item in await _list(ada)] == ["welcome"]


async def test_an_announced_event_is_told_to_every_follower(people: People) -> None:
    creator, *followers = [await people.new() for _ in range(4)]
    for follower in followers:
        answer = await follower.http.put(f"/api/v1/social/following/{creator.id}")
        assert answer.status_code == 204

    body = {"title": "Tea", "starts_at": "2090-01-01T16:00:00Z"}
    event = (await creator.http.post("/api/v1/events", json=body)).json()

    for follower in followers:
        await until(lambda person=follower: _unread(person), 1)  # type: ignore[misc]
        (told,) = await _list(follower)
        assert (told["kind"], told["actor_id"]) == ("event", str(creator.id))
        assert told["subject"] == {"event_id": event["id"]}
    assert [item["kind"] for item in await _list(creator)] == ["follower"] * 3


async def test_reading_counts_down_and_is_ones_own_business(
    people: People, publish: Publish
) -> None:
    ada, ben = await people.new(), await people.new()
    for number in range(5):
        await publish(_event("follower", ada.id, new_id(), {}))
        await until(lambda: _unread(ada), number + 1)
    newest, *older = await _list(ada)
    assert [item["id"] for item in older] == sorted((i["id"] for i in older), reverse=True)
    assert newest["id"] > older[0]["id"]

    path = f"{NOTIFICATIONS}/{newest['id']}/read"
    assert code(await ben.http.put(path)) == (404, "notification_not_found")
    unknown = await ada.http.put(f"{NOTIFICATIONS}/{new_id()}/read")
    assert code(unknown) == (404, "notification_not_found")
    for _ in range(2):
        assert (await ada.http.put(path)).status_code == 204
    assert await _unread(ada) == 4
    assert [item["read"] for item in await _list(ada)] == [True, False, False, False, False]

    assert (await ben.http.put(f"{NOTIFICATIONS}/read")).status_code == 204
    assert await _unread(ada) == 4
    assert (await ada.http.put(f"{NOTIFICATIONS}/read")).status_code == 204
    assert await _unread(ada) == 0


async def test_notifications_are_paged_newest_first_without_gaps_or_repeats(
    people: People, publish: Publish
) -> None:
    ada = await people.new()
    await asyncio.gather(*(publish(_event("follower", ada.id, new_id(), {})) for _ in range(11)))
    await until(lambda: _unread(ada), 11)

    read: list[str] = []
    params: dict[str, str | int] = {"limit": 4}
    while True:
        page = (await ada.http.get(NOTIFICATIONS, params=params)).json()
        read += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert read == sorted(set(read), reverse=True)
    assert len(read) == 11
