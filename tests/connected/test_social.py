"""Follows and the feed, on a running stack."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from services.kit.cache import open_redis
from services.kit.ids import new_id
from services.social.app import create_app
from services.social.timelines import LENGTH, Below, Change, Part, Timelines
from tests.conftest import RunningStack
from tests.connected.broker import heard
from tests.connected.internal import internal
from tests.connected.people import People, Person, code, served, settings_of, until
from tests.ports import closed_port

FOLLOWING = "/api/v1/social/following"
FOLLOWERS = "/api/v1/social/followers"
FEED = "/api/v1/feed"
POSTS = "/api/v1/posts"


@pytest.fixture
async def redis(stack: RunningStack) -> AsyncIterator[Redis]:
    """Redis as the social service sees it."""
    async with open_redis(settings_of("social", stack.stack, stack.state)) as redis:
        yield redis


async def _follow(follower: Person, followee: Person) -> None:
    answer = await follower.http.put(f"{FOLLOWING}/{followee.id}")
    assert answer.status_code == 204, answer.text


async def _post(author: Person, text: str = "hello") -> str:
    answer = await author.http.post(POSTS, json={"text": text})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _imported(stack: RunningStack, authors: list[Person], count: int) -> list[str]:
    """Import posts by turns; their ids, newest first."""
    start = datetime.now(UTC) - timedelta(days=1)
    posts = [
        {
            "id": str(new_id()),
            "author_id": str(authors[n % len(authors)].id),
            "text": f"number {n}",
            "created_at": (start + timedelta(seconds=n)).isoformat(),
        }
        for n in range(count)
    ]
    answer = await internal(stack, "operator", "posts", "/internal/import", {"posts": posts})
    assert answer.json() == {"imported": count}
    return [str(post["id"]) for post in posts][::-1]


async def _page(reader: Person, url: str = "", **params: str | int) -> dict[str, Any]:
    answer = await reader.http.get(url + FEED, params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def _newest(reader: Person) -> list[str]:
    return [post["id"] for post in (await _page(reader))["items"]]


async def _feed(reader: Person, limit: int, url: str = "") -> list[str]:
    """The whole feed, page by page."""
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await _page(reader, url, limit=limit, **cursor)
        assert page["degraded"] is False
        assert len(page["items"]) <= limit
        ids += (post["id"] for post in page["items"])
        if page["next_cursor"] is None:
            return ids
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port where nobody listens."""
    with closed_port() as port:
        yield port


async def test_follows_are_told_only_when_they_change(stack: RunningStack, people: People) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{FOLLOWING}/{ben.id}"
    async with heard(stack, "social", "user.followed", "user.unfollowed") as events:
        for method in ("DELETE", "PUT", "PUT", "DELETE", "DELETE"):
            assert (await ada.http.request(method, path)).status_code == 204
        told = [event for event in await events.data() if event[1]["follower_id"] == str(ada.id)]
    both = {"follower_id": str(ada.id), "followee_id": str(ben.id)}
    assert told == [("user.followed", both), ("user.unfollowed", both)]


async def test_nobody_follows_themselves(stack: RunningStack, people: People) -> None:
    ada = await people.new()
    assert code(await ada.http.put(f"{FOLLOWING}/{ada.id}")) == (409, "follow_oneself")
    assert code(await ada.http.put(f"{FOLLOWING}/no-id")) == (404, "user_not_found")
    follows = [{"follower_id": str(ada.id), "followee_id": str(ada.id)}]
    answer = await internal(stack, "operator", "social", "/internal/import", {"follows": follows})
    assert code(answer) == (422, "invalid_request")


async def test_follows_are_listed_on_both_sides_latest_first(
    stack: RunningStack, people: People
) -> None:
    ada = await people.new()
    others = [await people.new() for _ in range(5)]
    for other in others:
        await _follow(ada, other)
        await _follow(other, ada)
    expected = [str(other.id) for other in others[::-1]]
    for path in (FOLLOWING, FOLLOWERS):
        first = (await ada.http.get(path, params={"limit": 3})).json()
        cursor = first["next_cursor"]
        rest = (await ada.http.get(path, params={"limit": 3, "cursor": cursor})).json()
        assert [follow["user_id"] for follow in first["items"] + rest["items"]] == expected
        assert rest["next_cursor"] is None
    path = f"/internal/followers/{ada.id}"
    head = (await internal(stack, "notifications", "social", path, limit=4)).json()
    assert head["items"] == expected[:4]
    tail = await internal(stack, "notifications", "social", path, cursor=head["next_cursor"])
    assert tail.json() == {"items": expected[4:], "next_cursor": None}
    assert code(await internal(stack, "posts", "social", path)) == (403, "caller_not_allowed")


async def test_imported_follows_are_kept_once_and_change_the_feed(
    stack: RunningStack, people: People
) -> None:
    ada, ben, cleo = await people.new(), await people.new(), await people.new()
    assert await _newest(ada) == []
    post_id = await _post(ben)
    pairs = [(ada, ben), (ada, cleo), (cleo, ben), (ada, ben)]
    follows = [{"follower_id": str(a.id), "followee_id": str(b.id)} for a, b in pairs]
    path = "/internal/import"
    first = await internal(stack, "operator", "social", path, {"follows": follows[:1]})
    second = await internal(stack, "operator", "social", path, {"follows": follows})
    assert (first.json(), second.json()) == ({"imported": 1}, {"imported": 2})
    await until(lambda: _newest(ada), [post_id])
    assert code(await internal(stack, "posts", "social", path, {"follows": []})) == (
        403,
        "caller_not_allowed",
    )


async def test_a_post_comes_into_feeds_and_goes_with_its_deletion(people: People) -> None:
    ada, ben, cleo = await people.new(), await people.new(), await people.new()
    await _follow(ben, ada)
    assert await _newest(ben) == []
    first = await _post(ada)
    await until(lambda: _newest(ben), [first])
    second = await _post(ada)
    await until(lambda: _newest(ben), [second, first])
    await ben.http.put(f"{POSTS}/{second}/like")
    assert (await _page(ben))["items"][0]["like_count"] == 1
    await ada.http.delete(f"{POSTS}/{second}")
    assert await _newest(ben) == [first]
    assert await _newest(cleo) == await _newest(ada) == []


async def test_following_and_unfollowing_change_the_feed_at_once(people: People) -> None:
    ada, ben, cleo = await people.new(), await people.new(), await people.new()
    await _follow(cleo, ben)
    by_ada, by_ben = await _post(ada), await _post(ben)
    await until(lambda: _newest(cleo), [by_ben])
    await _follow(cleo, ada)
    assert await _newest(cleo) == [by_ben, by_ada]
    await cleo.http.delete(f"{FOLLOWING}/{ben.id}")
    assert await _newest(cleo) == [by_ada]


async def test_a_feed_longer_than_its_timeline_is_paged_to_its_end(
    stack: RunningStack, people: People, redis: Redis
) -> None:
    authors = [await people.new() for _ in range(3)]
    ada = await people.new()
    for author in authors:
        await _follow(ada, author)
    ids = await _imported(stack, authors, 2 * LENGTH + 30)
    await until(lambda: _feed(ada, 100), ids)
    assert await _feed(ada, 7) == ids
    assert await _feed(ada, LENGTH) == ids
    # A timeline may vanish between two pages.
    first = await _page(ada, limit=25)
    await redis.delete(f"social:timeline:{ada.id}")
    second = await _page(ada, limit=25, cursor=first["next_cursor"])
    assert [post["id"] for post in second["items"]] == ids[25:50]
    await redis.delete(f"social:timeline:{ada.id}")
    assert [post["id"] for post in (await _page(ada, limit=100))["items"]] == ids[:100]


async def test_without_redis_the_feed_comes_from_postgresql(
    stack: RunningStack, people: People, nobody: int
) -> None:
    authors = [await people.new() for _ in range(2)]
    ada = await people.new()
    for author in authors:
        await _follow(ada, author)
    ids = await _imported(stack, authors, 45)
    await until(lambda: _feed(ada, 20), ids)
    away = {"redis_port": nobody, "rabbitmq_port": nobody}
    settings = settings_of("social", stack.stack, stack.state).model_copy(update=away)
    async with served(create_app(settings)) as url:
        assert await _feed(ada, 20, url) == ids
        answer = await ada.http.delete(f"{url}{FOLLOWING}/{authors[0].id}")
        assert answer.status_code == 204


async def test_without_posts_the_feed_is_degraded_and_can_still_be_paged(
    stack: RunningStack, people: People, nobody: int, tmp_path: Path
) -> None:
    ada, ben = await people.new(), await people.new()
    await _follow(ben, ada)
    ids = await _imported(stack, [ada], 5)
    await until(lambda: _feed(ben, 5), ids)
    peers = tmp_path / "peers.json"
    peers.write_text(json.dumps({"posts": [f"http://127.0.0.1:{nobody}"]}))
    away = {"peers_file": peers, "rabbitmq_port": nobody}
    settings = settings_of("social", stack.stack, stack.state).model_copy(update=away)
    async with served(create_app(settings)) as url:
        first = await _page(ben, url, limit=3)
        assert (first["items"], first["degraded"]) == ([], True)
        second = await _page(ben, url, limit=3, cursor=first["next_cursor"])
        assert second == {"items": [], "next_cursor": None, "degraded": True}
    rest = await _page(ben, limit=3, cursor=first["next_cursor"])
    assert [post["id"] for post in rest["items"]] == ids[3:]


async def test_no_post_is_lost_while_timelines_vanish_and_are_loaded(
    people: People, redis: Redis
) -> None:
    ada, ben = await people.new(), await people.new()
    readers = [await people.new() for _ in range(3)]
    for reader in readers:
        await _follow(reader, ada)
        await _follow(reader, ben)
    posting = asyncio.gather(*(_post(author) for author in [ada, ben] * 60))
    chance = random.Random(3)
    while not posting.done():
        await asyncio.gather(*(_newest(reader) for reader in readers))
        if chance.random() < 0.5:
            await redis.delete(f"social:timeline:{chance.choice(readers).id}")
    ids = sorted(await posting, reverse=True)
    for reader in readers:
        await until(lambda reader=reader: _feed(reader, 50), ids)  # type: ignore[misc]


async def test_a_timeline_dropped_while_it_is_loaded_stays_dropped(redis: Redis) -> None:
    timelines, reader = Timelines(redis), new_id()
    marker = await timelines.begin(reader)
    assert marker is not None
    assert await timelines.begin(reader) is None
    assert await _read(timelines, reader, None, 5) == ([], Below.UNKNOWN)
    await timelines.drop([reader])
    await timelines.complete(reader, marker, [str(new_id())])
    assert await _read(timelines, reader, None, 5) == ([], Below.UNBUILT)


async def _read(timelines: Timelines, reader: UUID, before: str | None, count: int) -> Part:
    own, merged = await timelines.read(reader, before, count)
    assert merged == {}
    return own


async def _load(timelines: Timelines, reader: UUID, ids: list[str]) -> None:
    marker = await timelines.begin(reader)
    assert marker is not None
    await timelines.complete(reader, marker, ids)


async def test_what_is_pushed_while_a_timeline_is_loaded_is_in_it(redis: Redis) -> None:
    timelines, reader, absent = Timelines(redis), new_id(), new_id()
    oldest, older, newer = (str(new_id()) for _ in range(3))
    marker = await timelines.begin(reader)
    assert marker is not None
    change = [Change(newer, created=True), Change(oldest, created=True)]
    await timelines.push({str(reader): change, str(absent): change})
    await timelines.complete(reader, marker, [older])
    assert await _read(timelines, reader, None, 3) == ([newer, older, oldest], Below.MORE)
    assert await _read(timelines, reader, older, 3) == ([oldest], Below.NOTHING)
    await timelines.push({str(reader): [Change(older, created=False)]})
    assert await _read(timelines, reader, None, 9) == ([newer, oldest], Below.NOTHING)
    assert await _read(timelines, absent, None, 9) == ([], Below.UNBUILT)


async def test_a_timeline_that_was_cut_never_has_gaps(redis: Redis) -> None:
    timelines, reader = Timelines(redis), new_id()
    ids = [str(new_id()) for _ in range(LENGTH + 60)][::-1]
    newer, loaded = ids[: -LENGTH - 5], ids[-LENGTH - 5 : -5]
    await _load(timelines, reader, loaded)
    late = Change(ids[-1], created=True)
    await timelines.push({str(reader): [late]})
    assert await _read(timelines, reader, None, 999) == (loaded, Below.OLDER)
    for end in range(len(newer), 0, -10):
        some = [Change(post_id, created=True) for post_id in newer[max(0, end - 10) : end]]
        await timelines.push({str(reader): some})
    found = await _read(timelines, reader, None, 999)
    assert found.below is Below.OLDER
    assert found.ids == ids[: len(found.ids)]
    assert LENGTH <= len(found.ids) <= 80
    await timelines.push({str(reader): [Change(i, created=False) for i in found.ids]})
    assert await _read(timelines, reader, None, 999) == ([], Below.OLDER)
    await timelines.push({str(reader): [late]})
    assert await _read(timelines, reader, None, 999) == ([], Below.UNBUILT)


async def test_a_redis_that_was_restarted_has_no_timelines_it_may_have_lost_pushes_of(
    redis: Redis,
) -> None:
    timelines, reader = Timelines(redis), new_id()
    await _load(timelines, reader, [str(new_id())])
    await timelines.push({})
    await redis.script_flush()  # as a restart does
    await timelines.push({str(new_id()): [Change(str(new_id()), created=True)]})
    assert await _read(timelines, reader, None, 9) == ([], Below.UNBUILT)
