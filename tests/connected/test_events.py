"""Events and answers to them, on a running stack."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from services.kit.ids import new_id
from tests.connected.people import People, Person, code, until

EVENTS = "/api/v1/events"


def _in(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def _announce(creator: Person, key: str | None = None, **changes: object) -> httpx.Response:
    body = {"title": "Tea", "starts_at": _in(hours=1), **changes}
    return await creator.http.post(
        EVENTS, json=body, headers={"Idempotency-Key": key} if key else None
    )


async def _event(reader: Person, event_id: str) -> dict[str, Any]:
    answer = await reader.http.get(f"{EVENTS}/{event_id}")
    assert answer.status_code == 200
    event: dict[str, Any] = answer.json()
    return event


async def _answer(guest: Person, event_id: str, answer: str) -> httpx.Response:
    return await guest.http.put(f"{EVENTS}/{event_id}/rsvp", json={"answer": answer})


async def test_an_announced_event_can_be_read(people: People) -> None:
    ada = await people.new()

    made = await _announce(ada, title=" Tea ", location="Garden", capacity=3)

    assert made.status_code == 201
    event = made.json()
    assert UUID(event["creator_id"]) == ada.id
    assert (event["title"], event["location"], event["capacity"]) == ("Tea", "Garden", 3)
    assert (event["description"], event["attending"]) == ("", 0)
    assert await _event(await people.new(), event["id"]) == event


async def test_an_event_is_announced_once_however_often_it_is_repeated(people: People) -> None:
    ada = await people.new()
    starts_at = _in(days=3)

    answers = await asyncio.gather(
        *(_announce(ada, "only once", starts_at=starts_at) for _ in range(6))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    other = await _announce(ada, "only once", starts_at=starts_at, title="Coffee")
    assert code(other) == (409, "idempotency_key_reused")
    assert (await _announce(await people.new(), "only once")).status_code == 201


async def test_an_event_lies_in_a_future_that_can_be_told(people: People) -> None:
    ada = await people.new()

    for starts_at in (
        _in(seconds=-1),
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2999-01-01T00:00:00Z",
        "2030-01-01T00:00:00",
        "soon",
    ):
        assert code(await _announce(ada, starts_at=starts_at)) == (422, "invalid_request")
    for changes in ({"title": ""}, {"title": "\x00"}, {"capacity": 0}, {"capacity": 2**40}):
        assert code(await _announce(ada, **changes)) == (422, "invalid_request")


async def test_what_is_not_there_is_not_found(people: People) -> None:
    ada = await people.new()
    for event_id in (new_id(), "1"):
        assert code(await ada.http.get(f"{EVENTS}/{event_id}")) == (404, "event_not_found")
        assert code(await _answer(ada, str(event_id), "yes")) == (404, "event_not_found")


async def test_upcoming_events_are_listed_soonest_first_without_gaps_or_repeats(
    people: People,
) -> None:
    ada = await people.new()
    same = _in(hours=5)
    times = [_in(hours=9), same, same, _in(hours=2), same, _in(hours=7)]
    made = [(await _announce(ada, starts_at=time)).json() for time in times]
    begun = (await _announce(ada, starts_at=_in(seconds=0.3))).json()
    await asyncio.sleep(0.4)

    listed: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await ada.http.get(EVENTS, params=params)).json()
        listed += page["items"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert listed == sorted(listed, key=lambda e: (datetime.fromisoformat(e["starts_at"]), e["id"]))
    ids = [event["id"] for event in listed]
    assert len(ids) == len(set(ids))
    assert {event["id"] for event in made} <= set(ids)
    assert begun["id"] not in ids
    for cursor in ("?", "AAAA", "MjAzMC0wMS0wMSBY"):
        answer = await ada.http.get(EVENTS, params={"cursor": cursor})
        assert code(answer) == (422, "invalid_request")


async def test_a_capacity_holds_however_many_answer_at_once(people: People) -> None:
    ada = await people.new()
    event_id = (await _announce(ada, capacity=5)).json()["id"]
    guests = [await people.new() for _ in range(25)]

    answers = await asyncio.gather(*(_answer(guest, event_id, "yes") for guest in guests))

    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 20
    assert {code(answer) for answer in refused} == {(409, "event_full")}
    assert (await _event(ada, event_id))["attending"] == 5

    going = [g for g, answer in zip(guests, answers, strict=True) if answer.status_code == 200]
    waiting = [g for g, answer in zip(guests, answers, strict=True) if answer.status_code == 409]
    assert (await _answer(going[0], event_id, "yes")).status_code == 200
    assert (await _answer(waiting[0], event_id, "maybe")).status_code == 200
    assert code(await _answer(waiting[0], event_id, "yes")) == (409, "event_full")
    assert (await _answer(going[0], event_id, "no")).status_code == 200
    assert (await _event(ada, event_id))["attending"] == 4
    assert (await _answer(waiting[0], event_id, "yes")).status_code == 200
    assert (await _event(ada, event_id))["attending"] == 5


async def test_one_person_counts_once_however_often_they_change_their_mind(
    people: People,
) -> None:
    ada, ben = await people.new(), await people.new()
    event_id = (await _announce(ada)).json()["id"]

    await asyncio.gather(
        *(_answer(ben, event_id, ("yes", "no", "maybe")[n % 3]) for n in range(30))
    )

    for answer, attending in (("yes", 1), ("yes", 1), ("maybe", 0), ("no", 0), ("yes", 1)):
        given = await _answer(ben, event_id, answer)
        assert given.json()["answer"] == answer
        assert UUID(given.json()["user_id"]) == ben.id
        assert (await _event(ada, event_id))["attending"] == attending
    assert code(await _answer(ben, event_id, "perhaps")) == (422, "invalid_request")


async def test_the_creator_is_told_of_each_change_of_an_answer(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    event_id = (await _announce(ada)).json()["id"]

    for answer in ("maybe", "maybe", "yes"):
        await _answer(ben, event_id, answer)
    await _answer(ada, event_id, "yes")  # one's own is no news

    async def told() -> list[dict[str, str]]:
        page = (await ada.http.get("/api/v1/notifications")).json()
        return [item["subject"] for item in page["items"]]

    await until(told, [{"event_id": event_id, "answer": a} for a in ("yes", "maybe")])
