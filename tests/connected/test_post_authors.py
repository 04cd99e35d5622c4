"""Authors' names in posts, and the posts of private authors, on a running stack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from aio_pika.abc import AbstractChannel

from pulse_sdk.contract.domain import UserChanged, UserRegisteredEvent, UserUpdatedEvent
from services.kit.ids import new_id
from services.posts.app import create_app
from services.social.feed import ALL_PUBLIC
from tests.conftest import RunningStack
from tests.connected.broker import publish
from tests.connected.internal import internal
from tests.connected.people import People, Person, all_of, code, served, settings_of, until
from tests.connected.posting import POSTS, forget_popular, post, read
from tests.ports import closed_port

Tell = Callable[..., Awaitable[None]]


@pytest.fixture
def tell(channel: AbstractChannel) -> Tell:
    """Tells the services of a person, as the users service does."""

    async def tell(
        person: Person,
        display_name: str,
        visibility: Literal["public", "private"] = "public",
        when: datetime | None = None,
        event_type: type[UserRegisteredEvent | UserUpdatedEvent] = UserUpdatedEvent,
    ) -> None:
        changed = UserChanged(
            user_id=person.id,
            username=_username(person),
            display_name=display_name,
            visibility=visibility,
        )
        time = when or datetime.now(UTC)
        event = event_type(id=new_id(), source="/services/users", time=time, data=changed)
        await publish(channel, event)

    return tell


def _username(person: Person) -> str:
    return f"u{person.id.hex[-12:]}"


async def _name(reader: Person, post_id: str) -> str | None:
    author = (await read(reader, post_id))["author"]
    return None if author is None else str(author["display_name"])


async def _hidden(person: Person, path: str) -> bool:
    return (await person.http.get(path)).status_code == 404


async def test_posts_carry_what_their_author_is_called_now(
    stack: RunningStack, people: People, tell: Tell
) -> None:
    ada, ben = await people.new(), await people.new()
    made = await post(ada)
    post_id = made["id"]
    assert made["author"] is None
    await ada.http.post(f"{POSTS}/{post_id}/comments", json={"text": "hi"})
    await ada.http.put(f"{POSTS}/{post_id}/like")
    registered = datetime.now(UTC)
    await tell(ada, "Ada", when=registered, event_type=UserRegisteredEvent)
    await until(lambda: _name(ben, post_id), "Ada")
    await tell(ada, "Countess", when=registered + timedelta(seconds=1))
    await until(lambda: _name(ben, post_id), "Countess")
    names = {"username": _username(ada), "display_name": "Countess"}
    assert (await post(ada))["author"] == names
    batch = {"ids": [post_id]}
    answer = await internal(stack, "social", "posts", "/internal/posts/batch", batch)
    (found,) = answer.json()["items"]
    assert found["author"] == names
    listed = await all_of(ben, POSTS, 5, author_id=str(ada.id))
    assert [item["author"] for item in listed] == [names, names]
    (comment,) = await all_of(ben, f"{POSTS}/{post_id}/comments", 5)
    (like,) = await all_of(ben, f"{POSTS}/{post_id}/likes", 5)
    assert (comment["author"], like["user"]) == (names, names)
    newest = (await ben.http.get(POSTS, params={"limit": 2})).json()["items"]
    assert newest[0]["author"] == names


async def test_a_late_event_does_not_undo_a_later_one(people: People, tell: Tell) -> None:
    ada, ben = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    now = datetime.now(UTC)
    await tell(ada, "new", when=now)
    await tell(ada, "old", when=now - timedelta(seconds=5))
    await tell(ben, "marker")  # one queue: it comes after
    marker = (await post(ben))["id"]
    await until(lambda: _name(ada, marker), "marker")
    assert await _name(ben, post_id) == "new"


async def test_every_instance_learns_of_a_change(
    stack: RunningStack, people: People, tell: Tell
) -> None:
    ada, ben = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    settings = settings_of("posts", stack.stack, stack.state)
    async with AsyncExitStack() as undo:
        port = undo.enter_context(closed_port())
        # It hears of changes from the table alone.
        deaf = settings.model_copy(update={"rabbitmq_port": port})
        url = await undo.enter_async_context(served(create_app(deaf)))

        async def name() -> object:
            author = (await ben.http.get(f"{url}{POSTS}/{post_id}")).json()["author"]
            return author and author["display_name"]

        assert await name() is None
        await tell(ada, "Ada")
        await until(name, "Ada")


async def test_imported_names_are_known_unless_an_event_told_more(
    stack: RunningStack, people: People, tell: Tell
) -> None:
    ada, ben = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    await tell(ben, "Ben")
    other_id = (await post(ben))["id"]
    await until(lambda: _name(ada, other_id), "Ben")
    authors = [
        {"id": str(person.id), "username": _username(person), "display_name": "Imported"}
        for person in (ada, ben)
    ]
    answer = await internal(stack, "operator", "posts", "/internal/import", {"authors": authors})
    assert answer.json() == {"imported": 0}
    assert [await _name(ada, post_id), await _name(ada, other_id)] == ["Imported", "Ben"]


async def test_an_account_that_no_event_told_of_gets_its_name_when_it_is_met(
    stack: RunningStack, people: People
) -> None:
    ada, ben = await people.new(), await people.new()
    account = {
        "id": str(ada.id),
        "email": f"{ada.id}@example.org",
        "username": _username(ada),
        "display_name": "Ada",
    }
    body = {"password": "correct horse", "users": [account]}
    answer = await internal(stack, "operator", "users", "/internal/import", body)
    assert answer.json() == {"imported": 1}
    post_id = (await post(ada))["id"]
    await until(lambda: _name(ben, post_id), "Ada")


async def test_a_private_authors_posts_are_for_followers_and_the_author(
    stack: RunningStack, people: People, tell: Tell
) -> None:
    ada, ben, eve = [await people.new() for _ in range(3)]
    post_id = (await post(ada))["id"]
    path = f"{POSTS}/{post_id}"
    comment = (await ben.http.post(f"{path}/comments", json={"text": "hi"})).json()
    await ben.http.put(f"{path}/like")
    await forget_popular(stack)
    assert post_id in await _popular(eve)
    assert (await ben.http.put(f"/api/v1/social/following/{ada.id}")).status_code == 204
    await tell(ada, "Ada", "private")
    await until(lambda: _hidden(eve, path), True)
    text = {"text": "x"}
    refused = [
        await eve.http.get(path),
        await eve.http.patch(path, json=text),
        await eve.http.delete(path),
        await eve.http.get(f"{path}/like"),
        await eve.http.put(f"{path}/like"),
        await eve.http.delete(f"{path}/like"),
        await eve.http.get(f"{path}/likes"),
        await eve.http.get(f"{path}/comments"),
        await eve.http.post(f"{path}/comments", json=text),
        await eve.http.post(f"{path}/comments", json={**text, "parent_id": comment["id"]}),
        await eve.http.delete(f"{path}/comments/{comment['id']}"),
        await eve.http.get(f"{path}/comments/{comment['id']}/replies"),
    ]
    assert {code(answer) for answer in refused} == {(404, "post_not_found")}
    assert await all_of(eve, POSTS, 5, author_id=str(ada.id)) == []
    assert post_id not in await _newest(eve)
    assert post_id not in await _popular(eve)  # though it was ranked while it was public
    for reader in (ada, ben):
        assert (await read(reader, post_id))["like_count"] == 1
        assert [p["id"] for p in await all_of(reader, POSTS, 5, author_id=str(ada.id))] == [post_id]
        assert len(await all_of(reader, f"{path}/comments", 5)) == 1
    assert post_id in await _newest(ada)
    wanted = {"ids": [post_id]}
    batch = await internal(stack, "social", "posts", "/internal/posts/batch", wanted)
    assert batch.json()["private_author_ids"] == [str(ada.id)]
    assert (await ben.http.delete(f"/api/v1/social/following/{ada.id}")).status_code == 204
    assert await _hidden(ben, path)  # at once
    await tell(ada, "Ada", "public")
    await until(lambda: _hidden(eve, path), False)
    batch = await internal(stack, "social", "posts", "/internal/posts/batch", wanted)
    assert batch.content.startswith(ALL_PUBLIC)  # feeds pass such a batch on without reading it


async def test_a_private_post_stays_hidden_while_nobody_can_say_who_follows(
    stack: RunningStack, people: People, tell: Tell
) -> None:
    ada, eve = await people.new(), await people.new()
    post_id = (await post(ada))["id"]
    await tell(ada, "Ada", "private")
    await until(lambda: _hidden(eve, f"{POSTS}/{post_id}"), True)
    nowhere = stack.project_dir / "no-peers.json"
    nowhere.write_text("{}")
    settings = settings_of("posts", stack.stack, stack.state)
    async with served(create_app(settings.model_copy(update={"peers_file": nowhere}))) as url:
        answer = await eve.http.get(f"{url}{POSTS}/{post_id}")
        assert code(answer) == (503, "social_unavailable")
        assert (await ada.http.get(f"{url}{POSTS}/{post_id}")).status_code == 200


async def _popular(reader: Person) -> list[str]:
    return await _ids(reader, f"{POSTS}/popular")


async def _newest(reader: Person) -> list[str]:
    return await _ids(reader, POSTS)


async def _ids(reader: Person, path: str) -> list[str]:
    answer = await reader.http.get(path, params={"limit": 100})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return [item["id"] for item in page["items"]]
