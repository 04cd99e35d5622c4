"""Posts, likes and comments, on a running stack."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Response

from services.kit.cache import Cache, open_redis
from services.kit.ids import new_id
from services.posts.app import create_app
from tests.conftest import RunningStack
from tests.connected.broker import heard
from tests.connected.internal import internal
from tests.connected.people import People, all_of, code, served, settings_of
from tests.connected.posting import POSTS, post, read
from tests.ports import closed_port


async def test_a_post_is_read_as_it_was_made(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    made = await post(ada, "  hello ✨ 'quoted' %s  ")
    assert made["text"] == "hello ✨ 'quoted' %s"
    assert made["author_id"] == str(ada.id)
    assert (made["like_count"], made["comment_count"]) == (0, 0)
    assert await read(ben, made["id"]) == made
    newest = (await ben.http.get(POSTS, params={"limit": 1})).json()
    assert newest["items"] == [made]


async def test_posts_of_an_author_are_paged_newest_first(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    made = [await post(ada, f"number {n}") for n in range(7)]
    await post(ben)
    assert await all_of(ben, POSTS, 3, author_id=str(ada.id)) == made[::-1]
    assert await all_of(ben, POSTS, 7, author_id=str(ada.id)) == made[::-1]
    assert await all_of(ben, POSTS, 5, author_id=str(new_id())) == []


@pytest.mark.parametrize("text", ["", "   ", "x" * 501, "a\x00b"])
async def test_a_text_that_cannot_be_posted_is_refused(people: People, text: str) -> None:
    ada = await people.new()
    answer = await ada.http.post(POSTS, json={"text": text})
    assert code(answer) == (422, "invalid_request")


async def test_one_key_makes_one_post_however_often_it_is_sent(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    headers = {"Idempotency-Key": f"key-{ada.id}"}
    async with heard(stack, "posts", "post.created") as events:
        answers = await asyncio.gather(
            *(ada.http.post(POSTS, json={"text": "once"}, headers=headers) for _ in range(10))
        )
        other = await ben.http.post(POSTS, json={"text": "once"}, headers=headers)
        assert {answer.status_code for answer in (*answers, other)} == {201}
        (made,) = {answer.text for answer in answers}
        post_id = answers[0].json()["id"]
        assert other.json()["id"] != post_id, made
        authors = [data["author_id"] for _, data in await events.data()]
    assert authors.count(str(ada.id)) == 1
    assert authors.count(str(ben.id)) == 1


async def test_likes_are_counted_exactly_and_told_once(stack: RunningStack, people: People) -> None:
    ada = await people.new()
    likers = [await people.new() for _ in range(15)]
    post_id = (await post(ada))["id"]
    like = f"{POSTS}/{post_id}/like"
    async with heard(stack, "posts", "post.liked") as events:
        answers = await asyncio.gather(*(liker.http.put(like) for liker in likers * 3))
        assert {answer.status_code for answer in answers} == {204}
        assert (await read(ada, post_id))["like_count"] == 15
        await asyncio.gather(*(liker.http.delete(like) for liker in likers[:5] * 3))
        assert (await read(ada, post_id))["like_count"] == 10
        told = [data for _, data in await events.data() if data["post_id"] == post_id]
    assert {data["liked_by"] for data in told} == {str(liker.id) for liker in likers}
    assert len(told) == 15
    assert {data["author_id"] for data in told} == {str(ada.id)}


async def test_comments_are_counted_kept_once_and_paged(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    path = f"{POSTS}/{post_id}/comments"
    async with heard(stack, "posts", "comment.created") as events:
        answers: list[Response] = [
            await ben.http.post(path, json={"text": f"comment {n}"}) for n in range(5)
        ]
        headers = {"Idempotency-Key": "one"}
        answers += await asyncio.gather(
            *(ben.http.post(path, json={"text": "once"}, headers=headers) for _ in range(5))
        )
        assert {answer.status_code for answer in answers} == {201}
        made = [answer.json() for answer in answers[:6]]
        assert await all_of(ada, path, 4) == made[::-1]
        assert (await read(ada, post_id))["comment_count"] == 6
        told = [data for _, data in await events.data() if data["post_id"] == post_id]
    assert [data["comment_id"] for data in told] == [comment["id"] for comment in made]
    assert {(data["post_author_id"], data["author_id"]) for data in told} == {
        (str(ada.id), str(ben.id))
    }


async def test_only_its_author_deletes_a_post_and_all_below_it_goes(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    await ben.http.put(f"{POSTS}/{post_id}/like")
    await ben.http.post(f"{POSTS}/{post_id}/comments", json={"text": "hi"})
    assert code(await ben.http.delete(f"{POSTS}/{post_id}")) == (403, "post_not_yours")
    async with heard(stack, "posts", "post.deleted") as events:
        assert (await ada.http.delete(f"{POSTS}/{post_id}")).status_code == 204
        assert code(await ada.http.delete(f"{POSTS}/{post_id}")) == (404, "post_not_found")
        told = [data for _, data in await events.data() if data["post_id"] == post_id]
    assert told == [{"post_id": post_id, "author_id": str(ada.id)}]
    for answer in (
        await ben.http.get(f"{POSTS}/{post_id}"),
        await ben.http.put(f"{POSTS}/{post_id}/like"),
        await ben.http.delete(f"{POSTS}/{post_id}/like"),
        await ben.http.get(f"{POSTS}/{post_id}/comments"),
        await ben.http.post(f"{POSTS}/{post_id}/comments", json={"text": "hi"}),
        await ben.http.get(f"{POSTS}/no-id"),
    ):
        assert code(answer) == (404, "post_not_found")


async def test_a_deletion_amid_likes_and_comments_breaks_none_of_them(people: People) -> None:
    ada = await people.new()
    others = [await people.new() for _ in range(8)]
    for _ in range(5):
        post_id = (await post(ada))["id"]
        path = f"{POSTS}/{post_id}"
        answers = await asyncio.gather(
            *(other.http.put(f"{path}/like") for other in others),
            *(other.http.post(f"{path}/comments", json={"text": "hi"}) for other in others),
            ada.http.delete(path),
            *(other.http.delete(f"{path}/like") for other in others),
        )
        assert {answer.status_code for answer in answers} <= {201, 204, 404}


async def test_a_batch_has_the_posts_that_exist_in_the_order_asked_for(
    stack: RunningStack, people: People
) -> None:
    ada = await people.new()
    made = [await post(ada, f"number {n}") for n in range(3)]
    await ada.http.put(f"{POSTS}/{made[1]['id']}/like")
    made[1]["like_count"] = 1
    ids = [made[2]["id"], str(new_id()), made[0]["id"], made[1]["id"]]
    for _ in range(2):  # the second is answered by the cache
        answer = await internal(stack, "social", "posts", "/internal/posts/batch", {"ids": ids})
        assert answer.json()["items"] == [made[2], made[0], made[1]]
    refused = await internal(stack, "messaging", "posts", "/internal/posts/batch", {"ids": ids})
    assert code(refused) == (403, "caller_not_allowed")


async def test_without_redis_posts_are_served_from_postgresql(
    stack: RunningStack, people: People
) -> None:
    ada = await people.new()
    settings = settings_of("posts", stack.stack, stack.state)
    async with AsyncExitStack() as undo:
        port = undo.enter_context(closed_port())
        away = settings.model_copy(update={"redis_port": port, "rabbitmq_port": port})
        url = await undo.enter_async_context(served(create_app(away)))
        made = await ada.http.post(f"{url}{POSTS}", json={"text": "hello"})
        assert made.status_code == 201
        path = f"{url}{POSTS}/{made.json()['id']}"
        assert (await ada.http.put(f"{path}/like")).status_code == 204
        assert (await ada.http.get(path)).json()["like_count"] == 1
        assert (await ada.http.get(f"{url}/health/ready")).status_code == 503


async def test_what_was_read_before_a_drop_is_not_kept_after_it(stack: RunningStack) -> None:
    post_id = new_id()
    async with open_redis(settings_of("posts", stack.stack, stack.state)) as redis:
        cache = Cache(redis, "posts", "post", 60)
        await cache.fill_many({post_id: b"old"})
        assert await cache.get_many([post_id]) == [b"old"]
        await cache.drop(post_id)
        await cache.fill_many({post_id: b"old"})
        assert await cache.get_many([post_id]) == [None]


async def test_an_import_adds_and_tells_only_what_is_not_there(
    stack: RunningStack, people: People
) -> None:
    ada = await people.new()
    when = datetime.now(UTC) - timedelta(days=1)
    posts = [
        {
            "id": str(new_id()),
            "author_id": str(ada.id),
            "text": f"imported {n}",
            "created_at": (when + timedelta(minutes=n)).isoformat(),
        }
        for n in range(5)
    ]
    imported: list[dict[str, Any]] = [
        {"posts": posts[:3]},
        {"posts": [*posts, *posts]},
        {"posts": posts},
        {"posts": []},
    ]
    async with heard(stack, "posts", "post.created") as events:
        answers = [
            await internal(stack, "operator", "posts", "/internal/import", body)
            for body in imported
        ]
        told = [d["post_id"] for _, d in await events.data() if d["author_id"] == str(ada.id)]
    assert [answer.json() for answer in answers] == [{"imported": n} for n in (3, 2, 0, 0)]
    assert sorted(told) == sorted(str(post["id"]) for post in posts)
    listed = await all_of(ada, POSTS, 5, author_id=str(ada.id))
    assert [post["text"] for post in listed] == [f"imported {n}" for n in (4, 3, 2, 1, 0)]
    assert datetime.fromisoformat(listed[-1]["created_at"]) == when
    refused = await internal(stack, "social", "posts", "/internal/import", {"posts": []})
    assert code(refused) == (403, "caller_not_allowed")
