"""Lists, counts, blocks and recommendations, over the gateway of a running stack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any
from uuid import UUID

import httpx

from services.kit.ids import new_id
from services.social.service import MAX_FOLLOWING
from tests.conftest import RunningStack
from tests.connected.broker import heard
from tests.connected.internal import internal
from tests.connected.people import People, Person, code, until

SOCIAL = "/api/v1/social"


async def _get(person: Person, path: str, **params: str | int) -> Any:
    answer = await person.http.get(SOCIAL + path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _follow(follower: Person, followee: Person) -> httpx.Response:
    return await follower.http.put(f"{SOCIAL}/following/{followee.id}")


async def _block(blocker: Person, blocked: Person) -> None:
    answer = await blocker.http.put(f"{SOCIAL}/blocks/{blocked.id}")
    assert answer.status_code == 204, answer.text


async def _import(stack: RunningStack, pairs: Iterable[tuple[UUID, UUID]]) -> int:
    follows = [{"follower_id": str(a), "followee_id": str(b)} for a, b in pairs]
    answer = await internal(stack, "operator", "social", "/internal/import", {"follows": follows})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["imported"])


async def _ids(person: Person, path: str) -> list[str]:
    return [item["user_id"] for item in (await _get(person, path))["items"]]


async def _relation(person: Person, other: Person) -> tuple[bool, bool, bool]:
    found = await _get(person, f"/users/{other.id}/relation")
    return found["following"], found["followed_by"], found["blocked"]


async def test_anyone_sees_whom_anyone_follows_and_who_follows_back(people: People) -> None:
    ada, ben, cleo, dan = [await people.new() for _ in range(4)]
    for follower, followee in ((ada, ben), (ada, cleo), (ben, ada), (cleo, dan), (dan, ada)):
        assert (await _follow(follower, followee)).status_code == 204
    of_ada = f"/users/{ada.id}"
    assert await _ids(dan, f"{of_ada}/following") == [str(cleo.id), str(ben.id)]
    assert await _ids(dan, f"{of_ada}/followers") == [str(dan.id), str(ben.id)]
    assert await _ids(dan, f"{of_ada}/mutuals") == [str(ben.id)] == await _ids(ada, "/mutuals")
    assert await _ids(dan, "/mutuals") == []
    assert await _get(dan, f"{of_ada}/counts") == {"followers": 2, "following": 2}
    assert await _get(dan, f"/users/{new_id()}/counts") == {"followers": 0, "following": 0}
    assert await _relation(ada, ben) == (True, True, False)
    assert await _relation(ada, cleo) == (True, False, False)
    assert await _relation(ada, dan) == (False, True, False)
    assert await _relation(ada, ada) == (False, False, False)
    first = await _get(dan, f"{of_ada}/following", limit=1)
    rest = await _get(dan, f"{of_ada}/following", limit=1, cursor=first["next_cursor"])
    assert [item["user_id"] for item in rest["items"]] == [str(ben.id)]
    assert rest["next_cursor"] is None


async def test_bad_ids_cursors_and_limits_are_refused(people: People) -> None:
    ada = await people.new()
    for path in ("following", "followers", "mutuals", "counts", "relation"):
        answer = await ada.http.get(f"{SOCIAL}/users/no-id/{path}")
        assert code(answer) == (404, "user_not_found")
    for path in ("/blocks", "/mutuals", f"/users/{ada.id}/followers"):
        for params in ({"limit": 0}, {"limit": 101}, {"cursor": "?"}, {"more": 1}):
            answer = await ada.http.get(SOCIAL + path, params=params)
            assert code(answer) == (422, "invalid_request")
    for params in ({"limit": 101}, {"cursor": "x"}):
        answer = await ada.http.get(f"{SOCIAL}/recommendations", params=params)
        assert code(answer) == (422, "invalid_request")


async def test_counts_are_exact_after_concurrent_changes(
    stack: RunningStack, people: People
) -> None:
    ada, *others = [await people.new() for _ in range(7)]

    async def flip(person: Person, times: int) -> None:
        path = f"{SOCIAL}/following/"
        for _ in range(times):
            await person.http.put(f"{path}{ada.id}")
            await ada.http.put(f"{path}{person.id}")
            await person.http.delete(f"{path}{ada.id}")

    work: list[Awaitable[object]] = [flip(other, 3) for other in others for _ in range(2)]
    strangers = [new_id() for _ in range(50)]
    pairs = [(stranger, ada.id) for stranger in strangers]
    work += [_import(stack, pairs), _import(stack, pairs[::-1])]
    await asyncio.gather(*work)
    assert await _get(ada, f"/users/{ada.id}/counts") == {
        "followers": 50,
        "following": len(others),
    }
    for other in others:
        assert await _get(ada, f"/users/{other.id}/counts") == {"followers": 1, "following": 0}


async def test_a_block_ends_follows_and_forbids_new_ones_both_ways(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    await _follow(ada, ben)
    await _follow(ben, ada)
    post = await ben.http.post("/api/v1/posts", json={"text": "before the block"})
    assert post.status_code == 201

    async def feed(person: Person) -> int:
        return len((await person.http.get("/api/v1/feed")).json()["items"])

    await until(lambda: feed(ada), 1)
    async with heard(stack, "social", "user.blocked", "user.unblocked") as events:
        await _block(ada, ben)
        await _block(ada, ben)
        assert await feed(ada) == 0
        assert await _relation(ada, ben) == (False, False, True)
        assert await _relation(ben, ada) == (False, False, False)
        assert code(await _follow(ada, ben)) == (403, "blocked")
        assert code(await _follow(ben, ada)) == (403, "blocked")
        assert await _import(stack, [(ada.id, ben.id), (ben.id, ada.id)]) == 0
        for person in (ada, ben):
            counts = await _get(person, f"/users/{person.id}/counts")
            assert counts == {"followers": 0, "following": 0}
        assert (await _ids(ada, "/blocks"), await _ids(ben, "/blocks")) == ([str(ben.id)], [])
        for _ in range(2):
            answer = await ada.http.delete(f"{SOCIAL}/blocks/{ben.id}")
            assert answer.status_code == 204
        told = [event for event in await events.data() if event[1]["blocker_id"] == str(ada.id)]
    both = {"blocker_id": str(ada.id), "blocked_id": str(ben.id)}
    assert told == [("user.blocked", both), ("user.unblocked", both)]
    assert await _ids(ada, "/blocks") == []
    assert (await _follow(ben, ada)).status_code == 204
    assert code(await ada.http.put(f"{SOCIAL}/blocks/{ada.id}")) == (409, "block_oneself")
    assert code(await ada.http.put(f"{SOCIAL}/blocks/no-id")) == (404, "user_not_found")


async def test_no_follow_slips_past_a_block_that_crosses_it(people: People) -> None:
    pairs = [(await people.new(), await people.new()) for _ in range(8)]

    async def cross(ada: Person, ben: Person) -> None:
        follows = [(ada, ben), (ben, ada)] * 3
        answers = await asyncio.gather(
            *(_follow(*pair) for pair in follows[:3]),
            ada.http.put(f"{SOCIAL}/blocks/{ben.id}"),
            ada.http.delete(f"{SOCIAL}/following/{ben.id}"),
            *(_follow(*pair) for pair in follows[3:]),
        )
        assert {answer.status_code for answer in answers} <= {204, 403}
        assert await _relation(ada, ben) == (False, False, True)
        for person in (ada, ben):
            counts = await _get(person, f"/users/{person.id}/counts")
            assert counts == {"followers": 0, "following": 0}

    await asyncio.gather(*(cross(*pair) for pair in pairs))


async def test_friends_of_friends_are_recommended_by_how_many_are_common(
    stack: RunningStack, people: People
) -> None:
    ada, best, good, fair, blocker = [await people.new() for _ in range(5)]
    friends = [new_id() for _ in range(3)]
    assert (await _get(best, "/recommendations"))["items"] == []
    pairs = [(ada.id, friend) for friend in friends]
    for person, common in ((best, 3), (good, 2), (fair, 1), (blocker, 3)):
        pairs += [(friend, person.id) for friend in friends[:common]]
    pairs += [(friend, ada.id) for friend in friends] + [(friends[0], friends[1])]
    assert await _import(stack, pairs) == len(pairs)
    await _block(blocker, ada)
    expected = [(best, 3), (good, 2), (fair, 1)]
    items = (await _get(ada, "/recommendations"))["items"]
    assert items == [{"user_id": str(p.id), "common": common} for p, common in expected]
    assert (await _get(ada, "/recommendations", limit=1))["items"] == items[:1]
    # Although the list is cached, nobody stays in it whom it must not show.
    await _follow(ada, best)
    await _block(ada, good)
    assert (await _get(ada, "/recommendations"))["items"] == items[2:]


async def test_nobody_follows_more_than_the_limit(stack: RunningStack, people: People) -> None:
    ada, ben = await people.new(), await people.new()
    crowd = [new_id() for _ in range(MAX_FOLLOWING)]
    for start in range(0, MAX_FOLLOWING, 1000):
        await _import(stack, [(ada.id, other) for other in crowd[start : start + 1000]])
    assert code(await _follow(ada, ben)) == (409, "following_too_many")
    assert (await ada.http.put(f"{SOCIAL}/following/{crowd[0]}")).status_code == 204
    await ada.http.delete(f"{SOCIAL}/following/{crowd[0]}")
    assert (await _follow(ada, ben)).status_code == 204
