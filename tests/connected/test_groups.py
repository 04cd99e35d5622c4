"""Groups, who is in them, what is unread, and blocks, on a running stack."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pulse_sdk.contract.domain import BlockChanged, UserBlockedEvent, UserUnblockedEvent
from services.kit.blocks import Blocks
from services.kit.db import open_database
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.people import People, Person, code, settings_of
from tests.connected.wire import opened, send

CONVERSATIONS = "/api/v1/conversations"
NOT_THERE = (404, "conversation_not_found")


async def _seen(person: Person, conversation: str) -> dict[str, Any]:
    answer = await person.http.get(f"{CONVERSATIONS}/{conversation}")
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


async def _unread(person: Person) -> int:
    return int((await person.http.get(f"{CONVERSATIONS}/unread")).json()["unread"])


def _member(conversation: str, person: Person) -> str:
    return f"{CONVERSATIONS}/{conversation}/members/{person.id}"


async def test_a_group_is_opened_once_by_its_key(people: People) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    body = {"member_ids": [str(ben.id), str(cleo.id)], "title": " Friends "}
    key = {"Idempotency-Key": "the group"}

    answers = await asyncio.gather(
        *(ada.http.post(CONVERSATIONS, json=body, headers=key) for _ in range(8))
    )

    assert {answer.status_code for answer in answers} == {201}
    (group,) = {answer.text for answer in answers}
    made = answers[0].json()
    assert (made["kind"], made["title"], made["owner_id"]) == ("group", "Friends", str(ada.id))
    assert (await cleo.http.get(CONVERSATIONS)).json()["items"][0]["id"] == made["id"]
    other = {"member_ids": [str(ben.id)], "title": "Friends"}
    reused = await ada.http.post(CONVERSATIONS, json=other, headers=key)
    assert code(reused) == (409, "idempotency_key_reused")
    theirs = await ben.http.post(CONVERSATIONS, json=body, headers=key)
    assert theirs.json()["id"] not in group
    assert (await _seen(ben, await opened(ada, ben)))["kind"] == "direct"
    assert (await _seen(ben, await opened(ada, ben, title="Two")))["kind"] == "group"


async def test_members_come_and_go_and_what_they_may_goes_with_it(people: People) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    group = await opened(ada, ben, title="Climbing")
    messages = f"{CONVERSATIONS}/{group}/messages"
    before = await send(ada, group, "Before Cleo")

    assert code(await cleo.http.put(_member(group, cleo))) == NOT_THERE
    assert (await ben.http.put(_member(group, cleo))).status_code == 204
    assert (await ben.http.put(_member(group, cleo))).status_code == 204
    assert (await cleo.http.get(messages)).json()["items"][0]["id"] == str(before.id)
    await send(cleo, group, "I am here")
    renamed = await cleo.http.patch(f"{CONVERSATIONS}/{group}", json={"title": "Cooking"})
    assert renamed.json()["title"] == "Cooking"

    assert code(await ben.http.delete(_member(group, cleo))) == (403, "not_the_owner")
    assert (await ada.http.delete(_member(group, cleo))).status_code == 204
    assert (await ada.http.delete(_member(group, dan))).status_code == 204
    for path in (messages, f"{CONVERSATIONS}/{group}", f"{CONVERSATIONS}/{group}/presence"):
        assert code(await cleo.http.get(path)) == NOT_THERE
    assert code(await cleo.http.post(messages, json={"text": "Still?"})) == NOT_THERE
    assert code(await cleo.http.delete(_member(group, cleo))) == NOT_THERE

    assert (await ada.http.delete(_member(group, ada))).status_code == 204
    seen = await _seen(ben, group)
    assert (seen["owner_id"], seen["member_ids"]) == (str(ben.id), [str(ben.id)])
    await send(ben, group, "Alone")
    assert (await ben.http.put(_member(group, dan))).status_code == 204


async def test_two_peoples_conversation_stays_theirs(people: People) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    direct = await opened(ada, ben)

    for answer in (
        await ada.http.put(_member(direct, cleo)),
        await ada.http.delete(_member(direct, ben)),
        await ada.http.delete(_member(direct, ada)),
        await ada.http.patch(f"{CONVERSATIONS}/{direct}", json={"title": "Ours"}),
    ):
        assert code(answer) == (409, "not_a_group")
    for answer in (
        await cleo.http.put(_member(direct, cleo)),
        await cleo.http.patch(f"{CONVERSATIONS}/{direct}", json={"title": "Mine"}),
        await cleo.http.put(f"{CONVERSATIONS}/{direct}/read", json={"message_id": str(new_id())}),
        await cleo.http.get(f"{CONVERSATIONS}/{direct}/presence"),
    ):
        assert code(answer) == NOT_THERE


async def test_a_group_never_has_too_many_however_many_add_at_once(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    others = [str(new_id()) for _ in range(46)]
    body = {"member_ids": [str(ben.id), *others], "title": "Full"}
    group = (await ada.http.post(CONVERSATIONS, json=body)).json()["id"]

    answers = await asyncio.gather(
        *(
            person.http.put(f"{CONVERSATIONS}/{group}/members/{new_id()}")
            for person in (ada, ben) * 4
        )
    )

    assert sorted(answer.status_code for answer in answers) == [204] * 2 + [409] * 6
    assert {code(a)[1] for a in answers if a.status_code == 409} == {"group_full"}
    assert len((await _seen(ada, group))["member_ids"]) == 50


async def test_unread_counts_are_exact(people: People) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    group, direct = await opened(ada, ben, cleo), await opened(ada, ben)
    first = await send(ada, group, "One")
    second = await send(cleo, group, "Two")
    own = await send(ben, group, "Three, my own")
    await send(ada, group, "Four")
    only = await send(ada, direct, "For you alone")

    async def read(conversation: str, message: object) -> int:
        path = f"{CONVERSATIONS}/{conversation}/read"
        answer = await ben.http.put(path, json={"message_id": str(message)})
        return int(answer.json()["unread"])

    assert (await _seen(ben, group))["unread"] == 3
    assert await _unread(ben) == 4
    assert await read(group, first.id) == 2
    assert await read(group, own.id) == 1
    assert await read(group, second.id) == 1
    assert await read(direct, only.id) == 0
    assert await _unread(ben) == 1
    assert await _unread(cleo) == 3
    elsewhere = await ben.http.put(
        f"{CONVERSATIONS}/{group}/read", json={"message_id": str(only.id)}
    )
    assert code(elsewhere) == (404, "message_not_found")
    nothing = await ben.http.put(f"{CONVERSATIONS}/{group}/read", json={})
    assert code(nothing) == (422, "invalid_request")


async def test_unread_counts_stay_exact_while_others_send_and_members_return(
    people: People,
) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]
    group = await opened(ada, ben, cleo)
    sent = await asyncio.gather(
        *(send(person, group, f"{person.id} {n}") for n in range(10) for person in (ada, cleo))
    )
    path = f"{CONVERSATIONS}/{group}/read"

    async def mark(number: int) -> None:
        await ben.http.put(path, json={"message_id": str(sent[number].id)})

    await asyncio.gather(
        *(mark(number) for number in range(0, 20, 4)),
        *(send(ada, group, f"more {number}") for number in range(10)),
    )
    last = await send(cleo, group, "The last")
    assert (await ben.http.put(path, json={"message_id": str(last.id)})).json() == {"unread": 0}

    await ben.http.delete(_member(group, ben))
    await send(ada, group, "Without Ben")
    await ada.http.put(_member(group, ben))
    assert await _unread(ben) == 0
    back = await send(ada, group, "Ben is back")
    again = await ben.http.put(path, json={"message_id": str(last.id)})
    assert again.json() == {"unread": 1}
    assert (await ben.http.put(path, json={"message_id": str(back.id)})).json() == {"unread": 0}


async def test_who_blocked_one_another_do_not_talk_alone(
    people: People, stack: RunningStack
) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    direct, group = await opened(ada, ben), await opened(ada, ben, cleo)
    now = datetime.now(UTC)

    def event(kind: type[Any], seconds: int, blocked: Person) -> Any:
        data = BlockChanged(blocker_id=ben.id, blocked_id=blocked.id)
        time = now + timedelta(seconds=seconds)
        return kind(id=new_id(), source="/services/social", time=time, data=data)

    async with open_database(settings_of("messaging", stack.stack, stack.state)) as database:
        apply = Blocks(database).apply
        blocked = event(UserBlockedEvent, 2, ada)
        await apply([blocked, event(UserBlockedEvent, 2, cleo), blocked])
        await apply([event(UserUnblockedEvent, 1, ada)])  # late, and no longer so

        for sender in (ada, ben):
            answer = await sender.http.post(
                f"{CONVERSATIONS}/{direct}/messages", json={"text": "Hello?"}
            )
            assert code(answer) == (403, "blocked")
        assert await opened(ada, ben) == direct
        for caller, other in ((ben, cleo), (cleo, ben)):
            answer = await caller.http.post(CONVERSATIONS, json={"member_ids": [str(other.id)]})
            assert code(answer) == (403, "blocked")
        assert code(await ben.http.put(_member(await opened(ben, dan, title="x"), cleo))) == (
            403,
            "blocked",
        )
        await send(ada, group, "Hello everyone")
        assert await _unread(ben) == 1

        await apply([event(UserUnblockedEvent, 3, ada)])
        await send(ada, direct, "Friends again")
        assert await _unread(ben) == 2


@pytest.mark.parametrize("title", ["", "  ", "x" * 101, 1, "nul \x00"])
async def test_odd_titles_are_refused(people: People, title: object) -> None:
    ada, ben = await people.new(), await people.new()
    group = await opened(ada, ben, title="Good")
    body = {"member_ids": [str(ben.id)], "title": title}

    assert code(await ada.http.post(CONVERSATIONS, json=body)) == (422, "invalid_request")
    answer = await ada.http.patch(f"{CONVERSATIONS}/{group}", json={"title": title})
    assert code(answer) == (422, "invalid_request")
