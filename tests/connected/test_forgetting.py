"""What leaves a trace, so that something late changes nothing, is forgotten in the end."""

from __future__ import annotations

from services.kit.db import Query, open_database
from services.kit.ids import new_id
from services.kit.outbox import Outbox
from services.messaging.mail import MailStore
from services.social.feed_store import AuthorPost, FeedStore
from tests.conftest import RunningStack
from tests.connected.people import People, Person, settings_of
from tests.connected.wire import opened, send

AGED = Query(
    "test_aged",
    "UPDATE deleted_posts SET deleted_at = now() - interval '31 days' WHERE post_id = %(post)s",
)


async def test_who_left_a_group_leaves_one_delivery_behind(
    people: People, stack: RunningStack
) -> None:
    ada, bob, cleo = [await people.new() for _ in range(3)]
    group = await opened(ada, bob, cleo)
    for text in ("1", "2", "3"):
        await send(ada, group, text)
    member = f"/api/v1/conversations/{group}/members/{bob.id}"
    assert (await bob.http.delete(member)).status_code == 204

    settings = settings_of("messaging", stack.stack, stack.state)
    async with open_database(settings) as database:
        store = MailStore(database, Outbox(settings, database))

        async def kept(person: Person, days: int) -> list[int]:
            while await store.expire(days) is not None:
                pass
            return [delivery.position for delivery in await store.deliveries(person.id, 0, 9)]

        assert await kept(bob, days=1) == [1, 2, 3]
        assert await kept(bob, days=-1) == [3]  # as if all of it were a day older than is kept
        assert await kept(cleo, days=-1) == [1, 2, 3]

    # Who comes back goes on counting from there.
    assert (await ada.http.put(member)).status_code == 204
    await send(ada, group, "4")
    seen = (await bob.http.get(f"/api/v1/conversations/{group}")).json()
    assert seen["unread"] == 1


async def test_deletions_of_posts_are_forgotten_when_nothing_late_can_come(
    stack: RunningStack,
) -> None:
    async with open_database(settings_of("social", stack.stack, stack.state)) as database:
        store = FeedStore(database)
        old, new = (AuthorPost(new_id(), new_id()) for _ in range(2))
        await store.record([], [old, new])
        params = {"post": old.post_id}
        await database.execute(AGED, params)
        while await store.expire(count=1) is not None:
            pass
        await store.record([old, new], [])
        assert await store.posts_of(str(new.author_id), 9) == []
        assert await store.posts_of(str(old.author_id), 9) == [str(old.post_id)]
