"""What people are told of when domain events arrive, on a running stack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from aio_pika.abc import AbstractChannel
from pydantic import BaseModel

from pulse_sdk import AsyncPulse
from pulse_sdk.contract import domain
from pulse_sdk.contract.notifications import NotificationFrame
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected import broker
from tests.connected.internal import internal
from tests.connected.people import People, Person, all_of, code, until

NOTIFICATIONS = "/api/v1/notifications"

STARTS_AT = datetime(2090, 1, 1, 16, tzinfo=UTC)

Publish = Callable[[BaseModel], Awaitable[None]]


@pytest.fixture
def publish(channel: AbstractChannel) -> Publish:
    """Publishes a domain event."""
    return partial(broker.publish, channel)


def _envelope() -> dict[str, Any]:
    return {"id": new_id(), "source": "/services/test", "time": datetime.now(UTC)}


async def _list(person: Person, **params: Any) -> list[dict[str, Any]]:
    answer = await person.http.get(NOTIFICATIONS, params=params)
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def _unread(person: Person) -> int:
    return int((await person.http.get(f"{NOTIFICATIONS}/unread")).json()["unread"])


def _event(  # noqa: PLR0911 - one for each kind
    kind: str, concerned: UUID, actor: UUID, ids: dict[str, UUID]
) -> BaseModel:
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
        case "reply":
            reply = domain.CommentCreated(
                post_author_id=new_id(), parent_author_id=concerned, author_id=actor, **ids
            )
            return domain.CommentCreatedEvent(**envelope, data=reply)
        case "event_updated" | "event_cancelled" | "promoted" | "reminder":
            news = domain.EventNews(
                creator_id=actor,
                title="Tea",
                starts_at=STARTS_AT,
                recipient_ids=[concerned, new_id()],
                changed=["title"] if kind == "event_updated" else [],
                **ids,
            )
            made = {
                "event_updated": domain.EventUpdatedEvent,
                "event_cancelled": domain.EventCancelledEvent,
                "promoted": domain.EventPromotedEvent,
                "reminder": domain.EventReminderEvent,
            }[kind]
            return made(**envelope, data=news)
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
        ("reply", ("post_id", "comment_id")),
        ("event_updated", ("event_id",)),
        ("event_cancelled", ("event_id",)),
        ("promoted", ("event_id",)),
        ("reminder", ("event_id",)),
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
    by_platform = kind in {"welcome", "promoted", "reminder"}
    assert told["actor_id"] == (None if by_platform else str(ben.id))
    news = {"title": "Tea", "starts_at": "2090-01-01T16:00:00Z"}
    extras: dict[str, dict[str, Any]] = {
        "rsvp": {"answer": "yes"},
        "event_updated": {**news, "changed": ["title"]},
        "event_cancelled": news,
        "promoted": news,
        "reminder": news,
    }
    extra = extras.get(kind, {})
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

    read = [item["id"] for item in await all_of(ada, NOTIFICATIONS, 4)]

    assert read == sorted(set(read), reverse=True)
    assert len(read) == 11


async def test_the_author_of_a_post_is_told_once_of_a_reply_to_their_own_comment(
    people: People, publish: Publish
) -> None:
    ada, ben = await people.new(), await people.new()
    ids = {"post_id": new_id(), "comment_id": new_id()}
    for parent_author_id in (ada.id, new_id()):
        comment = domain.CommentCreated(
            post_author_id=ada.id, parent_author_id=parent_author_id, author_id=ben.id, **ids
        )
        await publish(domain.CommentCreatedEvent(**_envelope(), data=comment))

    await until(lambda: _unread(ada), 2)
    assert [item["kind"] for item in await _list(ada)] == ["comment", "reply"]


async def test_a_deleted_notification_does_not_come_again(people: People, publish: Publish) -> None:
    ada, ben = await people.new(), await people.new()
    follow = _event("follower", ada.id, ben.id, {})
    await publish(follow)
    await until(lambda: _unread(ada), 1)
    (told,) = await _list(ada)
    path = f"{NOTIFICATIONS}/{told['id']}"

    assert code(await ben.http.delete(path)) == (404, "notification_not_found")
    assert (await ada.http.delete(path)).status_code == 204
    assert code(await ada.http.delete(path)) == (404, "notification_not_found")
    assert code(await ada.http.put(f"{path}/read")) == (404, "notification_not_found")

    await publish(follow)
    await publish(_event("welcome", ada.id, ada.id, {}))
    await until(lambda: _unread(ada), 1)
    assert [item["kind"] for item in await _list(ada)] == ["welcome"]


async def test_what_is_unread_can_be_listed_alone(people: People, publish: Publish) -> None:
    ada = await people.new()
    for number in range(3):
        await publish(_event("follower", ada.id, new_id(), {}))
        await until(lambda: _unread(ada), number + 1)
    newest, middle, oldest = await _list(ada)

    await ada.http.put(f"{NOTIFICATIONS}/{middle['id']}/read")

    assert await _list(ada, unread="true") == [newest, oldest]
    assert len(await _list(ada, unread="false")) == 3
    answer = await ada.http.get(NOTIFICATIONS, params={"unread": "perhaps"})
    assert code(answer) == (422, "invalid_request")


async def test_a_kind_that_is_not_wanted_is_not_told(people: People, publish: Publish) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{NOTIFICATIONS}/preferences"
    before = (await ada.http.get(path)).json()
    assert {(kind["in_app"], kind["push"]) for kind in before["kinds"]} == {(True, True)}
    assert before["quiet_hours"] is None

    for push in (True, False):  # the last counts
        answer = await ada.http.put(f"{path}/follower", json={"in_app": False, "push": push})
        assert answer.json() == {"kind": "follower", "in_app": False, "push": push}
    unknown = await ada.http.put(f"{path}/gossip", json={"in_app": False, "push": False})
    assert code(unknown) == (404, "kind_not_found")
    half = await ada.http.put(f"{path}/follower", json={"in_app": False})
    assert code(half) == (422, "invalid_request")

    after = {kind["kind"]: kind for kind in (await ada.http.get(path)).json()["kinds"]}
    assert after.pop("follower") == {"kind": "follower", "in_app": False, "push": False}
    assert list(after.values()) == [k for k in before["kinds"] if k["kind"] != "follower"]
    assert (await ben.http.get(path)).json() == before

    await publish(_event("follower", ada.id, ben.id, {}))
    await publish(_event("welcome", ada.id, ada.id, {}))
    await until(lambda: _unread(ada), 1)
    assert [item["kind"] for item in await _list(ada)] == ["welcome"]

    await ada.http.put(f"{path}/follower", json={"in_app": True, "push": False})
    await publish(_event("follower", ada.id, ben.id, {}))
    await until(lambda: _unread(ada), 2)


async def test_quiet_hours_are_kept_in_a_time_zone_that_exists(people: People) -> None:
    ada = await people.new()
    path = f"{NOTIFICATIONS}/quiet-hours"
    hours = {"starts_at": "22:30:00", "ends_at": "07:00:00", "time_zone": "Europe/Berlin"}

    assert (await ada.http.put(path, json=hours)).json() == hours
    preferences = (await ada.http.get(f"{NOTIFICATIONS}/preferences")).json()
    assert preferences["quiet_hours"] == hours
    for wrong in (
        {"time_zone": "Europe/Atlantis"},
        {"time_zone": ""},
        {"ends_at": "22:30:00"},
        {"starts_at": "22:30:00+02:00"},
        {"ends_at": "24:30"},
    ):
        answer = await ada.http.put(path, json={**hours, **wrong})
        assert code(answer) == (422, "invalid_request"), wrong
    for _ in range(2):
        assert (await ada.http.delete(path)).status_code == 204
    preferences = (await ada.http.get(f"{NOTIFICATIONS}/preferences")).json()
    assert preferences["quiet_hours"] is None


async def test_nobody_is_told_of_what_somebody_does_whom_they_block(
    people: People, publish: Publish
) -> None:
    ada, ben = await people.new(), await people.new()
    pair = domain.BlockChanged(blocker_id=ada.id, blocked_id=ben.id)
    earlier = {**_envelope(), "time": datetime(2020, 1, 1, tzinfo=UTC)}

    await publish(domain.UserBlockedEvent(**_envelope(), data=pair))
    await publish(domain.UserUnblockedEvent(**earlier, data=pair))  # it comes late
    await publish(_event("like", ada.id, ben.id, {"post_id": new_id()}))
    await publish(_event("like", ben.id, ada.id, {"post_id": new_id()}))
    await publish(_event("welcome", ada.id, ada.id, {}))
    await until(lambda: _unread(ada), 1)
    assert [item["kind"] for item in await _list(ada)] == ["welcome"]
    await until(lambda: _unread(ben), 1)

    await publish(domain.UserUnblockedEvent(**_envelope(), data=pair))
    await publish(_event("like", ada.id, ben.id, {"post_id": new_id()}))
    await until(lambda: _unread(ada), 2)


async def test_what_is_told_is_shown_at_once_to_who_is_connected(
    people: People, publish: Publish, stack: RunningStack
) -> None:
    ada, ben = await people.new(), await people.new()
    muted = {"in_app": False, "push": True}
    await ada.http.put(f"{NOTIFICATIONS}/preferences/like", json=muted)

    async with (
        AsyncPulse(stack.gateway_url, token=ada.token) as client,
        client.realtime.frames() as frames,
    ):
        await publish(_event("like", ada.id, ben.id, {"post_id": new_id()}))
        await publish(_event("follower", ada.id, ben.id, {}))
        async with asyncio.timeout(10):
            shown = await anext(frames)

    assert isinstance(shown, NotificationFrame)
    assert [shown.data.model_dump(mode="json")] == await _list(ada)


async def test_the_notifications_service_alone_has_things_shown(
    people: People, publish: Publish, stack: RunningStack
) -> None:
    ada = await people.new()
    answer = await internal(stack, "posts", "messaging", "/internal/notifications", {"items": []})
    assert code(answer) == (403, "caller_not_allowed")

    await publish(_event("follower", ada.id, new_id(), {}))  # she is not connected
    await until(lambda: _unread(ada), 1)
