"""Edits, threads, likes and what is popular, on a running stack."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Response

from pulse_sdk.contract.posts import MAX_REPLY_DEPTH
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.broker import heard
from tests.connected.internal import internal
from tests.connected.people import People, Person, all_of, code
from tests.connected.posting import POSTS, forget_popular, post, read


async def _comment(by: Person, post_id: str, parent: str | None = None) -> dict[str, Any]:
    body = {"text": "hi"} if parent is None else {"text": "hi", "parent_id": parent}
    answer = await by.http.post(f"{POSTS}/{post_id}/comments", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_an_edit_changes_what_everyone_reads(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    made = await post(ada, "first")
    path = f"{POSTS}/{made['id']}"
    await ben.http.put(f"{path}/like")
    edited = await ada.http.patch(path, json={"text": " second "})
    assert edited.status_code == 200
    now = edited.json()
    assert (now["text"], now["version"], now["like_count"]) == ("second", 2, 1)
    assert datetime.fromisoformat(now["edited_at"]) > datetime.fromisoformat(made["created_at"])
    assert await read(ben, made["id"]) == now
    assert await all_of(ben, POSTS, 5, author_id=str(ada.id)) == [now]


async def test_only_its_author_edits_a_post_and_only_to_what_may_be_posted(people: People) -> None:
    ada, ben = await people.new(), await people.new()
    path = f"{POSTS}/{(await post(ada))['id']}"
    assert code(await ben.http.patch(path, json={"text": "x"})) == (403, "post_not_yours")
    gone = await ada.http.patch(f"{POSTS}/{new_id()}", json={"text": "x"})
    assert code(gone) == (404, "post_not_found")
    for body in ({"text": " "}, {"text": "x" * 501}, {}, {"text": "x", "like_count": 9}):
        assert code(await ada.http.patch(path, json=body)) == (422, "invalid_request")


async def test_an_edit_of_a_version_that_is_no_more_is_refused(people: People) -> None:
    ada = await people.new()
    path = f"{POSTS}/{(await post(ada))['id']}"
    tag = (await ada.http.get(path)).headers["ETag"]

    async def edit(tag: str, text: str) -> Response:
        return await ada.http.patch(path, json={"text": text}, headers={"If-Match": tag})

    answers = await asyncio.gather(*(edit(tag, f"edit {n}") for n in range(8)))
    (kept,) = [answer for answer in answers if answer.status_code == 200]
    assert {code(answer) for answer in answers if answer is not kept} == {(412, "stale")}
    assert (await ada.http.get(path)).json() == kept.json()
    assert code(await edit('W/"2"', "weak")) == (412, "stale")
    assert code(await edit("nonsense", "odd")) == (412, "stale")
    assert (await edit(kept.headers["ETag"], "next")).json()["version"] == 3
    assert (await edit('"9", "3"', "one of two")).status_code == 200
    assert (await edit("*", "any")).headers["ETag"] == '"5"'


async def test_replies_are_listed_below_what_they_reply_to(
    stack: RunningStack, people: People
) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    post_id = (await post(ada))["id"]
    async with heard(stack, "posts", "comment.created") as events:
        top = await _comment(ben, post_id)
        replies = [await _comment(eve, post_id, top["id"]) for _ in range(3)]
        nested = await _comment(ada, post_id, replies[0]["id"])
        told = [data for _, data in await events.data() if data["post_id"] == post_id]
    assert [data.get("parent_author_id") for data in told] == [
        None,
        *[str(ben.id)] * 3,
        str(eve.id),
    ]
    assert [c["depth"] for c in (top, replies[0], nested)] == [0, 1, 2]
    path = f"{POSTS}/{post_id}/comments"
    replies[0]["reply_count"] = 1
    assert await all_of(ada, path, 5) == [{**top, "reply_count": 3}]
    assert await all_of(ada, f"{path}/{top['id']}/replies", 2) == replies[::-1]
    assert await all_of(ada, f"{path}/{replies[0]['id']}/replies", 2) == [nested]
    assert (await read(ada, post_id))["comment_count"] == 5


async def test_replies_end_at_a_depth_and_need_what_they_reply_to(people: People) -> None:
    ada = await people.new()
    post_id, other_id = (await post(ada))["id"], (await post(ada))["id"]
    comment = await _comment(ada, post_id)
    for _ in range(MAX_REPLY_DEPTH):
        comment = await _comment(ada, post_id, comment["id"])
    path = f"{POSTS}/{post_id}/comments"
    deeper = await ada.http.post(path, json={"text": "x", "parent_id": comment["id"]})
    assert code(deeper) == (409, "reply_too_deep")
    reply = {"text": "x", "parent_id": comment["id"]}
    elsewhere = await ada.http.post(f"{POSTS}/{other_id}/comments", json=reply)
    assert code(elsewhere) == (404, "comment_not_found")
    assert code(await ada.http.get(f"{path}/{new_id()}/replies")) == (404, "comment_not_found")
    wrong = await ada.http.post(path, json={"text": "x", "parent_id": "no-id"})
    assert code(wrong) == (422, "invalid_request")


async def test_a_comment_is_deleted_by_its_author_or_the_posts_with_its_replies(
    people: People,
) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    post_id = (await post(ada))["id"]
    path = f"{POSTS}/{post_id}/comments"
    top = await _comment(ben, post_id)
    reply = await _comment(eve, post_id, top["id"])
    nested = await _comment(ben, post_id, reply["id"])
    assert code(await ben.http.delete(f"{path}/{reply['id']}")) == (403, "comment_not_yours")
    assert (await eve.http.delete(f"{path}/{reply['id']}")).status_code == 204
    for gone in (reply, nested):
        assert code(await ada.http.delete(f"{path}/{gone['id']}")) == (404, "comment_not_found")
    (left,) = await all_of(ada, path, 5)
    assert (left["id"], left["reply_count"]) == (top["id"], 0)
    assert (await read(ada, post_id))["comment_count"] == 1
    assert (await ada.http.delete(f"{path}/{top['id']}")).status_code == 204
    assert (await read(ada, post_id))["comment_count"] == 0


async def test_counts_stay_exact_while_threads_grow_and_are_deleted(people: People) -> None:
    ada = await people.new()
    others = [await people.new() for _ in range(6)]
    post_id = (await post(ada))["id"]
    path = f"{POSTS}/{post_id}/comments"
    keep = await _comment(ada, post_id)
    for _ in range(6):
        doomed = await _comment(ada, post_id, keep["id"])
        below = {"text": "late", "parent_id": doomed["id"]}
        answers = await asyncio.gather(
            *(other.http.post(path, json=below) for other in others),
            *(ada.http.delete(f"{path}/{doomed['id']}") for _ in range(2)),
            *(other.http.post(path, json=below) for other in others),
        )
        assert {answer.status_code for answer in answers} <= {201, 204, 404}
        assert 204 in {answer.status_code for answer in answers}
    await _comment(ada, post_id, keep["id"])
    (top,) = await all_of(ada, path, 5)
    below_top = await all_of(ada, f"{path}/{keep['id']}/replies", 5)
    assert top["reply_count"] == len(below_top) == 1
    assert (await read(ada, post_id))["comment_count"] == 2
    assert (await ada.http.delete(f"{POSTS}/{post_id}")).status_code == 204


async def test_who_likes_a_post_is_listed_latest_first(people: People) -> None:
    ada = await people.new()
    likers = [await people.new() for _ in range(5)]
    path = f"{POSTS}/{(await post(ada))['id']}"
    for liker in likers:
        await liker.http.put(f"{path}/like")
    listed = await all_of(ada, f"{path}/likes", 2)
    assert [like["user_id"] for like in listed] == [str(liker.id) for liker in likers[::-1]]
    assert (await likers[0].http.get(f"{path}/like")).json() == {"liked": True}
    await likers[0].http.delete(f"{path}/like")
    assert (await likers[0].http.get(f"{path}/like")).json() == {"liked": False}
    assert len(await all_of(ada, f"{path}/likes", 2)) == 4
    odd = await ada.http.get(f"{path}/likes", params={"cursor": "bm9uc2Vuc2U"})
    assert code(odd) == (422, "invalid_request")


@pytest.mark.parametrize("area", ["posts", "comments", "likes"])
async def test_pages_neither_repeat_nor_skip_while_rows_arrive(people: People, area: str) -> None:
    ada = await people.new()
    others = [await people.new() for _ in range(16)]
    post_id = (await post(ada))["id"]
    path = {
        "posts": POSTS,
        "comments": f"{POSTS}/{post_id}/comments",
        "likes": f"{POSTS}/{post_id}/likes",
    }[area]
    params = {"author_id": str(ada.id)} if area == "posts" else {}

    async def arrive(number: int) -> None:
        if area == "posts":
            await post(ada, f"number {number}")
        elif area == "comments":
            await _comment(ada, post_id)
        else:
            await others[number].http.put(f"{POSTS}/{post_id}/like")

    for number in range(8):
        await arrive(number)
    key = "user_id" if area == "likes" else "id"
    expected = [item[key] for item in await all_of(ada, path, 100, **params)]
    seen: list[str] = []
    cursor: str | None = ""
    number = 8
    while cursor is not None:
        page: dict[str, str] = {"limit": "2", **params, **({"cursor": cursor} if cursor else {})}
        answer = (await ada.http.get(path, params=page)).json()
        seen += [item[key] for item in answer["items"]]
        cursor = answer["next_cursor"]
        await arrive(number)
        number += 1
    assert seen == expected


async def test_popular_posts_are_recent_liked_and_kept_for_a_while(
    stack: RunningStack, people: People
) -> None:
    ada = await people.new()
    likers = [await people.new() for _ in range(6)]
    week = timedelta(days=7)
    old = {
        "id": str(_uuid7_at(datetime.now(UTC) - week * 2)),
        "author_id": str(ada.id),
        "text": "too old",
        "created_at": (datetime.now(UTC) - week * 2).isoformat(),
    }
    await internal(stack, "operator", "posts", "/internal/import", {"posts": [old]})
    made = [(await post(ada, f"number {n}"))["id"] for n in range(3)]
    for post_id, count in ((made[0], 5), (made[1], 6), (old["id"], 6)):
        answers = [await liker.http.put(f"{POSTS}/{post_id}/like") for liker in likers[:count]]
        assert {answer.status_code for answer in answers} == {204}

    async def popular() -> list[str]:
        answer = await ada.http.get(f"{POSTS}/popular", params={"limit": 100})
        assert answer.status_code == 200, answer.text
        assert answer.json()["next_cursor"] is None
        return [item["id"] for item in answer.json()["items"]]

    await forget_popular(stack)
    found = await popular()
    assert found.index(made[1]) < found.index(made[0])
    assert not {made[2], old["id"]} & set(found)
    for liker in likers:
        await liker.http.put(f"{POSTS}/{made[2]}/like")
    assert made[2] not in await popular()  # ranked a moment ago
    await ada.http.delete(f"{POSTS}/{made[1]}")
    assert made[1] not in await popular()  # but nothing is shown that is gone
    assert code(await ada.http.get(f"{POSTS}/popular?limit=101")) == (422, "invalid_request")
    await forget_popular(stack)
    assert made[2] in await popular()


def _uuid7_at(when: datetime) -> Any:
    made = new_id()
    low = made.int & ((1 << 80) - 1)
    return type(made)(int=int(when.timestamp() * 1000) << 80 | low)
