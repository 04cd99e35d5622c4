"""Events: announcing, changing, finding them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2

from services.events.app import create_app
from services.kit.db import dsn
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.gatherings import (
    EVENTS,
    after,
    announce,
    event_of,
    give_answer,
    told_of,
)
from tests.connected.people import People, all_of, code, served, settings_of, until


async def test_an_announced_event_can_be_read(people: People) -> None:
    ada = await people.new()

    made = await announce(ada, title=" Tea ", location="Garden", capacity=3)

    assert made.status_code == 201
    event = made.json()
    assert UUID(event["creator_id"]) == ada.id
    assert (event["title"], event["location"], event["capacity"]) == ("Tea", "Garden", 3)
    assert (event["description"], event["attending"]) == ("", 0)
    assert await event_of(await people.new(), event["id"]) == event


async def test_an_event_is_announced_once_however_often_it_is_repeated(people: People) -> None:
    ada = await people.new()
    starts_at = after(days=3)

    answers = await asyncio.gather(
        *(announce(ada, "only once", starts_at=starts_at) for _ in range(6))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    other = await announce(ada, "only once", starts_at=starts_at, title="Coffee")
    assert code(other) == (409, "idempotency_key_reused")
    assert (await announce(await people.new(), "only once")).status_code == 201


async def test_an_event_lies_in_a_future_that_can_be_told(people: People) -> None:
    ada = await people.new()

    for starts_at in (
        after(seconds=-1),
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2999-01-01T00:00:00Z",
        "2030-01-01T00:00:00",
        "soon",
    ):
        assert code(await announce(ada, starts_at=starts_at)) == (422, "invalid_request")
    for changes in ({"title": ""}, {"title": "\x00"}, {"capacity": 0}, {"capacity": 2**40}):
        assert code(await announce(ada, **changes)) == (422, "invalid_request")


async def test_what_is_not_there_is_not_found(people: People) -> None:
    ada = await people.new()
    for event_id in (new_id(), "1"):
        path = f"{EVENTS}/{event_id}"
        for answer in (
            await ada.http.get(path),
            await give_answer(ada, str(event_id), "yes"),
            await ada.http.patch(path, json={"title": "Coffee"}),
            await ada.http.put(f"{path}/cancellation"),
            await ada.http.delete(path),
            await ada.http.get(f"{path}/attendees"),
        ):
            assert code(answer) == (404, "event_not_found")


async def test_only_its_creator_changes_an_event(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    event = (await announce(ada)).json()
    path = f"{EVENTS}/{event['id']}"

    for answer in (
        await ben.http.patch(path, json={"title": "Coffee"}),
        await ben.http.put(f"{path}/cancellation"),
        await ben.http.delete(path),
    ):
        assert code(answer) == (403, "not_creator")
    assert await event_of(ada, event["id"]) == event


async def test_an_edit_is_seen_and_those_who_answered_are_told(people: People) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    event = (await announce(ada, location="Garden", capacity=1)).json()
    path = f"{EVENTS}/{event['id']}"
    await event_of(ada, event["id"])  # into the cache
    for guest, answer in ((ben, "yes"), (cleo, "yes"), (dan, "no")):
        await give_answer(guest, event["id"], answer)

    starts_at = after(days=2)
    edited = await ada.http.patch(path, json={"title": "Coffee", "starts_at": starts_at})
    same = await ada.http.patch(path, json={"title": " Coffee "})
    more = await ada.http.patch(path, json={"capacity": 2})

    assert edited.json()["version"] == same.json()["version"] == event["version"] + 1
    read = await event_of(ben, event["id"])
    assert read == more.json()
    assert (read["title"], read["location"]) == ("Coffee", "Garden")
    assert datetime.fromisoformat(read["starts_at"]) == datetime.fromisoformat(starts_at)
    for guest, kinds in ((ben, ["event_updated"]), (cleo, ["promoted", "event_updated"])):
        await until(lambda guest=guest: told_of(guest), kinds)  # type: ignore[misc]
    notifications = (await ben.http.get("/api/v1/notifications")).json()["items"]
    assert notifications[0]["subject"] == {
        "event_id": event["id"],
        "title": "Coffee",
        "starts_at": read["starts_at"],
        "changed": ["starts_at", "title"],
    }
    assert await told_of(dan) == []


async def test_of_edits_of_one_version_one_is_made(people: People) -> None:
    ada = await people.new()
    event = (await announce(ada)).json()
    path = f"{EVENTS}/{event['id']}"

    answers = await asyncio.gather(
        *(
            ada.http.patch(path, json={"title": f"Tea {n}"}, headers={"If-Match": '"1"'})
            for n in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
    assert {code(a) for a in answers if a.status_code != 200} == {(412, "stale")}
    for wrong in (
        {"title": None},
        {"title": ""},
        {"starts_at": after(hours=-1)},
        {"capacity": 0},
        {"latitude": 3},
        {"latitude": 91, "longitude": 0},
        {"longitude": None},
        {"creator_id": str(ada.id)},
    ):
        assert code(await ada.http.patch(path, json=wrong)) == (422, "invalid_request"), wrong


async def test_a_cancelled_event_can_be_read_and_nothing_else(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    event = (await announce(ada, title="Cancellable")).json()
    path = f"{EVENTS}/{event['id']}"
    await give_answer(ben, event["id"], "maybe")

    for _ in range(2):
        cancelled = await ada.http.put(f"{path}/cancellation")
        assert cancelled.status_code == 200
        assert cancelled.json()["cancelled_at"] is not None

    assert await event_of(ben, event["id"]) == cancelled.json()
    assert code(await give_answer(ben, event["id"], "yes")) == (409, "event_cancelled")
    edited = await ada.http.patch(path, json={"title": "On again"})
    assert code(edited) == (409, "event_cancelled")
    found = (await ada.http.get(EVENTS, params={"text": "cancellable"})).json()["items"]
    assert event["id"] not in [item["id"] for item in found]
    await until(lambda: told_of(ben), ["event_cancelled"])


async def test_a_deleted_event_is_gone_and_those_who_answered_are_told(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    event = (await announce(ada)).json()
    path = f"{EVENTS}/{event['id']}"
    await give_answer(ben, event["id"], "yes")
    await event_of(ben, event["id"])  # into the cache

    assert (await ada.http.delete(path)).status_code == 204

    assert code(await ben.http.get(path)) == (404, "event_not_found")
    assert code(await give_answer(ben, event["id"], "no")) == (404, "event_not_found")
    assert code(await ada.http.delete(path)) == (404, "event_not_found")
    await until(lambda: told_of(ben), ["event_cancelled"])


async def test_events_are_found_by_words_place_position_and_time(
    people: People, stack: RunningStack
) -> None:
    ada = await people.new()
    berlin: dict[str, Any] = {"location": "Tempelhof, Berlin", "latitude": 52.47, "longitude": 13.4}
    fiji: dict[str, Any] = {"location": "Suva", "latitude": -18.1, "longitude": 178.4}
    festival = await announce(ada, title="Kite festival", starts_at=after(days=40), **berlin)
    kites = festival.json()["id"]
    fiji |= {"title": "Surfing", "description": "No kite!"}
    surf = (await announce(ada, starts_at=after(days=50), **fiji)).json()["id"]
    begun = (await announce(ada, title="Kite past")).json()["id"]
    _starts(stack, begun, "-1 second")

    async def found(**params: str | int) -> list[str]:
        listed = await all_of(ada, EVENTS, 100, **params)
        return [item["id"] for item in listed if item["id"] in {kites, surf, begun}]

    assert await found(text="KITE") == [kites, surf]
    assert await found(text='"kite festival"') == [kites]
    assert await found(text="kite -surfing") == [kites]
    assert await found(text="berlin or surfing") == [kites, surf]
    assert await found(place="berlin tempelhof") == [kites]
    assert await found(place="kite") == []
    assert await found(south=52, north=53, west=13, east=14) == [kites]
    assert await found(south=-20, north=60, west=170, east=20) == [kites, surf]
    assert await found(south=-20, north=60, west=20, east=170) == []
    assert await found(starts_after=after(days=45)) == [surf]
    assert await found(starts_before=after(days=45)) == [kites]
    assert await found(starts_after=after(minutes=-1), text="kite") == [begun, kites, surf]
    for wrong in (
        {"south": "1"},
        {"south": "91", "north": "0", "west": "0", "east": "0"},
        {"starts_after": "2030-01-01"},
        {"text": ""},
        {"place": "x" * 201},
        {"town": "Berlin"},
    ):
        assert code(await ada.http.get(EVENTS, params=wrong)) == (422, "invalid_request"), wrong


async def test_people_are_reminded_once_before_an_event_begins(
    people: People, stack: RunningStack
) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    event = (await announce(ada, starts_at=after(hours=3))).json()
    for guest, answer in ((ben, "yes"), (cleo, "maybe"), (dan, "no")):
        await give_answer(guest, event["id"], answer)
    _starts(stack, event["id"], "59 minutes")
    settings = settings_of("events", stack.stack, stack.state)

    async with AsyncExitStack() as instances:  # four instances in all, each looking
        for _ in range(3):
            await instances.enter_async_context(served(create_app(settings)))
        await until(lambda: told_of(ben), ["reminder"])
        await until(lambda: told_of(cleo), ["reminder"])
        await asyncio.sleep(0.5)

    assert await told_of(ben) == await told_of(cleo) == ["reminder"]
    assert await told_of(dan) == []


def _starts(stack: RunningStack, event_id: str, from_now: str) -> None:
    """Let an event start at another time, without a word to anybody."""
    settings = settings_of("events", stack.stack, stack.state)
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE events SET starts_at = now() + %s::interval WHERE id = %s", (from_now, event_id)
        )
        connection.commit()


async def test_upcoming_events_are_listed_soonest_first_without_gaps_or_repeats(
    people: People, stack: RunningStack
) -> None:
    ada = await people.new()
    same = after(hours=5)
    times = [after(hours=9), same, same, after(hours=2), same, after(hours=7)]
    made = [(await announce(ada, starts_at=time)).json() for time in times]
    begun = (await announce(ada)).json()
    _starts(stack, begun["id"], "-1 second")

    listed = await all_of(ada, EVENTS, 2)

    assert listed == sorted(listed, key=lambda e: (datetime.fromisoformat(e["starts_at"]), e["id"]))
    ids = [event["id"] for event in listed]
    assert len(ids) == len(set(ids))
    assert {event["id"] for event in made} <= set(ids)
    assert begun["id"] not in ids
    for cursor in ("?", "AAAA", "MjAzMC0wMS0wMSBY"):
        answer = await ada.http.get(EVENTS, params={"cursor": cursor})
        assert code(answer) == (422, "invalid_request")
