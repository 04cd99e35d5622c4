"""Conversations and messages, on a running stack."""

from __future__ import annotations

import asyncio
from uuid import UUID

from services.kit.ids import new_id
from tests.connected.people import People, Person, all_of, code, until

CONVERSATIONS = "/api/v1/conversations"


async def _open(caller: Person, *others: Person) -> str:
    answer = await caller.http.post(
        CONVERSATIONS, json={"member_ids": [str(other.id) for other in others]}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_two_people_have_one_conversation_however_many_open_it_at_once(
    people: People,
) -> None:
    ada, ben = await people.new(), await people.new()

    opened = await asyncio.gather(
        *(_open(ada, ben) for _ in range(8)), *(_open(ben, ada, ada, ben) for _ in range(8))
    )

    assert len(set(opened)) == 1
    for person in (ada, ben):
        (listed,) = await all_of(person, CONVERSATIONS)
        assert listed["id"] == opened[0]
        assert sorted(listed["member_ids"]) == sorted([str(ada.id), str(ben.id)])


async def test_groups_are_new_each_time_and_hold_everyone_once(people: People) -> None:
    ada, ben, cleo = [await people.new() for _ in range(3)]

    first, second = await _open(ada, ben, cleo, ben), await _open(ada, ben, cleo)

    assert first != second
    listed = await all_of(cleo, CONVERSATIONS, limit=1)
    assert [conversation["id"] for conversation in listed] == [second, first]
    assert sorted(listed[1]["member_ids"]) == sorted(str(p.id) for p in (ada, ben, cleo))


async def test_nobody_talks_to_themselves_alone(people: People) -> None:
    ada = await people.new()

    alone = await ada.http.post(CONVERSATIONS, json={"member_ids": [str(ada.id)]})
    nobody = await ada.http.post(CONVERSATIONS, json={"member_ids": []})

    assert code(alone) == code(nobody) == (422, "invalid_request")
    assert await all_of(ada, CONVERSATIONS) == []


async def test_messages_are_listed_newest_first_without_gaps_or_repeats(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{CONVERSATIONS}/{await _open(ada, ben)}/messages"
    sent = []
    for number in range(11):
        sender = (ada, ben)[number % 2]
        answer = await sender.http.post(path, json={"text": f"  Message {number} "})
        assert answer.status_code == 201
        sent.append(answer.json())

    read = await all_of(ben, path, limit=4)

    assert read == sent[::-1]
    assert read[0]["text"] == "Message 10"
    assert UUID(read[0]["sender_id"]) == ada.id


async def test_who_is_no_member_finds_no_conversation(people: People) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    theirs = f"{CONVERSATIONS}/{await _open(ada, ben)}/messages"
    await ada.http.post(theirs, json={"text": "Between us"})

    for path in (theirs, f"{CONVERSATIONS}/{new_id()}/messages", f"{CONVERSATIONS}/1/messages"):
        assert code(await eve.http.get(path)) == (404, "conversation_not_found")
        assert code(await eve.http.post(path, json={"text": "Me too"})) == (
            404,
            "conversation_not_found",
        )
    assert len(await all_of(ada, theirs)) == 1
    assert await all_of(eve, CONVERSATIONS) == []


async def test_a_message_is_sent_once_however_often_it_is_repeated(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{CONVERSATIONS}/{await _open(ada, ben)}/messages"
    key = {"Idempotency-Key": "the first attempt"}

    answers = await asyncio.gather(
        *(ada.http.post(path, json={"text": "Once"}, headers=key) for _ in range(8))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await all_of(ben, path)) == 1

    async def told() -> list[str]:
        return [item["kind"] for item in await all_of(ben, "/api/v1/notifications")]

    await until(told, ["message"])
    other = await ada.http.post(path, json={"text": "Another"}, headers=key)
    assert code(other) == (409, "idempotency_key_reused")
    theirs = await ben.http.post(path, json={"text": "Mine"}, headers=key)
    assert theirs.status_code == 201
    assert await told() == ["message"]


async def test_odd_requests_are_refused_in_words(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{CONVERSATIONS}/{await _open(ada, ben)}/messages"

    for text in ("", "   ", "x" * 4001, "nul \x00"):
        assert code(await ada.http.post(path, json={"text": text})) == (422, "invalid_request")
    assert code(await ada.http.post(path, content=b"{")) == (400, "malformed_request")
    for cursor in ("?", "AAAA", "x" * 300):
        answer = await ada.http.get(path, params={"cursor": cursor})
        assert code(answer) == (422, "invalid_request")
