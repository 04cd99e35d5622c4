"""Answers to events: capacity, the waiting list, and who is told."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.connected.gatherings import (
    EVENTS,
    announce,
    attendees,
    event_of,
    give_answer,
    told_of,
)
from tests.connected.people import People, code, until


async def test_a_capacity_holds_however_many_answer_at_once(people: People) -> None:
    ada = await people.new()
    event_id = (await announce(ada, capacity=5)).json()["id"]
    guests = [await people.new() for _ in range(25)]

    answers = [
        a.json() for a in await asyncio.gather(*(give_answer(g, event_id, "yes") for g in guests))
    ]

    going = [g for g, a in zip(guests, answers, strict=True) if a["answer"] == "yes"]
    line = {a["position"]: g for g, a in zip(guests, answers, strict=True) if a["position"]}
    assert len(going) == 5
    assert sorted(line) == list(range(1, 21))
    event = await event_of(ada, event_id)
    assert (event["attending"], event["waiting"]) == (5, 20)
    waiting = await attendees(ada, event_id, "waiting", limit=7)
    assert waiting == [str(line[n].id) for n in sorted(line)]

    # Everybody leaves at once, from the line and from their places; who is left moves up.
    leaving = [*going[:3], line[1], line[4], line[20]]
    await asyncio.gather(*(give_answer(g, event_id, "no") for g in leaving))

    event = await event_of(ada, event_id)
    assert (event["attending"], event["waiting"]) == (5, 14)
    attending = await attendees(ada, event_id, "yes")
    assert len(attending) == 5
    assert {str(g.id) for g in going[3:]} < set(attending)
    assert await attendees(ada, event_id, "waiting") == [
        str(line[n].id)
        for n in sorted(line)
        if str(line[n].id) not in attending and n not in {1, 4, 20}
    ]


async def test_who_waits_keeps_their_place_in_line_and_is_told_of_a_free_one(
    people: People,
) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    event_id = (await announce(ada, capacity=1)).json()["id"]
    assert code(await ben.http.get(f"{EVENTS}/{event_id}/rsvp")) == (404, "rsvp_not_found")

    for guest, position in ((ben, None), (cleo, 1), (dan, 2), (cleo, 1)):
        given = (await give_answer(guest, event_id, "yes")).json()
        assert (given["answer"], given["position"]) == ("waiting" if position else "yes", position)
    own = (await dan.http.get(f"{EVENTS}/{event_id}/rsvp")).json()
    assert (own["answer"], own["position"]) == ("waiting", 2)

    await give_answer(cleo, event_id, "no")
    await give_answer(ben, event_id, "maybe")

    own = (await dan.http.get(f"{EVENTS}/{event_id}/rsvp")).json()
    assert (own["answer"], own["position"]) == ("yes", None)
    await until(lambda: told_of(dan), ["promoted"])
    assert await told_of(cleo) == []


async def test_a_larger_capacity_lets_in_those_first_in_line(people: People) -> None:
    ada = await people.new()
    event_id = (await announce(ada, capacity=2)).json()["id"]
    guests = [await people.new() for _ in range(6)]
    for guest in guests:
        await give_answer(guest, event_id, "yes")

    too_small = await ada.http.patch(f"{EVENTS}/{event_id}", json={"capacity": 1})
    larger = (await ada.http.patch(f"{EVENTS}/{event_id}", json={"capacity": 4})).json()

    assert code(too_small) == (409, "capacity_taken")
    assert (larger["capacity"], larger["attending"], larger["waiting"]) == (4, 4, 2)
    assert set(await attendees(ada, event_id, "yes")) == {str(g.id) for g in guests[:4]}
    await until(lambda: told_of(guests[3]), ["promoted"])
    assert await told_of(guests[4]) == []

    # Answers, edits of the capacity and its end, all at once.
    await asyncio.gather(
        ada.http.patch(f"{EVENTS}/{event_id}", json={"capacity": 5}),
        *(give_answer(guest, event_id, "no") for guest in guests[:2]),
        *[give_answer(await people.new(), event_id, "yes") for _ in range(4)],
    )
    event = await event_of(ada, event_id)
    assert (event["attending"], event["waiting"]) == (5, 3)
    unlimited = (await ada.http.patch(f"{EVENTS}/{event_id}", json={"capacity": None})).json()
    assert (unlimited["capacity"], unlimited["attending"], unlimited["waiting"]) == (None, 8, 0)


async def test_one_person_counts_once_however_often_they_change_their_mind(
    people: People,
) -> None:
    ada, ben = await people.new(), await people.new()
    event_id = (await announce(ada)).json()["id"]

    await asyncio.gather(
        *(give_answer(ben, event_id, ("yes", "no", "maybe")[n % 3]) for n in range(30))
    )

    for answer, attending in (("yes", 1), ("yes", 1), ("maybe", 0), ("no", 0), ("yes", 1)):
        given = await give_answer(ben, event_id, answer)
        assert given.json()["answer"] == answer
        assert UUID(given.json()["user_id"]) == ben.id
        assert (await event_of(ada, event_id))["attending"] == attending
    assert code(await give_answer(ben, event_id, "perhaps")) == (422, "invalid_request")


async def test_the_creator_is_told_of_each_change_of_an_answer(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    event_id = (await announce(ada)).json()["id"]

    for answer in ("maybe", "maybe", "yes"):
        await give_answer(ben, event_id, answer)
    await give_answer(ada, event_id, "yes")  # one's own is no news

    async def told() -> list[dict[str, str]]:
        page = (await ada.http.get("/api/v1/notifications")).json()
        return [item["subject"] for item in page["items"]]

    await until(told, [{"event_id": event_id, "answer": a} for a in ("yes", "maybe")])
