"""Authors with very many followers: their posts are merged into feeds at reading."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import pytest
from redis.asyncio import Redis

from pulse_sdk.contract.common import PageQuery
from pulse_sdk.contract.domain import PostCreated, PostCreatedEvent, PostDeleted, PostDeletedEvent
from pulse_sdk.contract.social import FeedPage
from services.kit.cache import open_redis
from services.kit.db import Database, Query, open_database
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope
from services.kit.paging import id_cursor
from services.kit.peers import open_peers
from services.social.feed import Feed
from services.social.feed_store import FeedStore
from services.social.store import SocialStore
from services.social.timelines import LENGTH, Timelines
from tests.conftest import RunningStack
from tests.connected.people import settings_of

POPULAR = 4


@dataclass
class Stand:
    """The feed of the social service, for which few followers are very many."""

    feed: Feed
    store: FeedStore
    follows: SocialStore
    timelines: Timelines
    database: Database
    redis: Redis

    async def followed(self, *pairs: tuple[UUID, UUID]) -> None:
        """Have people follow each other, and no timeline know it beforehand."""
        await self.follows.import_follows(pairs)
        await self.timelines.drop({follower for follower, _ in pairs})

    async def post(self, author: UUID, count: int = 1) -> list[str]:
        """Take new posts into feeds; their ids, newest first."""
        ids = [new_id() for _ in range(count)]
        await self.feed.apply([created(author, post_id) for post_id in ids])
        return [str(post_id) for post_id in reversed(ids)]

    async def ids(self, reader: UUID, limit: int = 20) -> list[str]:
        """The whole feed by pages, as ids (no service has bodies of these posts)."""
        found: list[str] = []
        while True:
            before = found[-1] if found else None
            page = await self.feed._ids(reader, before, limit)
            found += page
            if len(page) < limit:
                return found

    async def merging(self, author: UUID) -> int:
        """How the author's posts get into feeds."""
        query = Query("merging", "SELECT merging FROM people WHERE user_id = %(author)s")
        row = await self.database.row(query, {"author": author})
        return int(row[0]) if row else 0


def created(author: UUID, post_id: UUID) -> PostCreatedEvent:
    """A post was made."""
    return envelope(PostCreatedEvent, "posts", PostCreated(post_id=post_id, author_id=author))


def deleted(author: UUID, post_id: UUID) -> PostDeletedEvent:
    """A post was deleted."""
    return envelope(PostDeletedEvent, "posts", PostDeleted(post_id=post_id, author_id=author))


@pytest.fixture
async def stand(stack: RunningStack) -> AsyncIterator[Stand]:
    """A feed on the stack's stores."""
    settings = settings_of("social", stack.stack, stack.state)
    async with AsyncExitStack() as exits:
        database = await exits.enter_async_context(open_database(settings))
        redis = await exits.enter_async_context(open_redis(settings))
        peers = await exits.enter_async_context(open_peers(settings))
        follows = SocialStore(database, Outbox(settings, database))
        store, timelines = FeedStore(database), Timelines(redis)
        feed = Feed(store, follows, timelines, peers, popular=POPULAR)
        yield Stand(feed, store, follows, timelines, database, redis)


async def test_an_author_who_becomes_popular_loses_no_post(stand: Stand) -> None:
    star, ordinary, *readers = [new_id() for _ in range(8)]
    await stand.followed(*((reader, ordinary) for reader in readers[:2]))
    await stand.followed(*((reader, star) for reader in readers[: POPULAR - 1]))
    ids = await stand.post(star)
    assert await stand.merging(star) == 0
    for reader in readers[: POPULAR - 1]:
        assert await stand.ids(reader) == ids
    await stand.followed(*((reader, star) for reader in readers))
    assert await stand.ids(readers[0]) == ids  # a timeline that knows of no merging
    ids = await stand.post(star, 2) + ids
    assert await stand.merging(star) == 2
    for reader in readers:
        assert await stand.ids(reader) == ids
    assert not await stand.redis.zscore(
        f"social:timeline:{readers[0]}", (await stand.post(star))[0]
    )
    both = (await stand.post(ordinary)) + (await stand.ids(readers[-1]))
    assert await stand.ids(readers[0]) == both
    assert len(both) == len(ids) + 2


async def test_merged_feeds_are_paged_without_gaps_or_repeats(stand: Stand) -> None:
    stars, ordinary, readers = [new_id(), new_id()], new_id(), [new_id() for _ in range(POPULAR)]
    reader = readers[0]
    await stand.followed(*((r, star) for r in readers for star in stars), (reader, ordinary))
    ids: list[str] = []
    for turn in range(2 * LENGTH // 10):
        ids = await stand.post(stars[turn % 2], 7) + ids
        ids = await stand.post(ordinary, 4 if turn > 5 else 1) + ids
        if turn == 4:
            assert await stand.ids(reader) == ids
    for limit in (1, 7, 21, LENGTH, 101):
        assert await stand.ids(reader, limit) == ids
    # Any of the timelines may vanish.
    for name in (f"by:{stars[0]}", str(reader), f"by:{stars[1]}"):
        await stand.redis.delete(f"social:timeline:{name}")
        assert await stand.ids(reader, 21) == ids
    await stand.followed((reader, new_id()))
    assert await stand.ids(reader, 9) == ids


async def test_a_deleted_post_of_a_popular_author_leaves_feeds(stand: Stand) -> None:
    star, *readers = [new_id() for _ in range(POPULAR + 1)]
    await stand.followed(*((reader, star) for reader in readers))
    assert await stand.ids(readers[0]) == []
    first = await stand.post(star)
    assert await stand.ids(readers[0]) == first
    second, third = await stand.post(star, 2)
    assert await stand.ids(readers[0]) == [second, third, *first]
    await stand.feed.apply([deleted(star, UUID(third))])
    assert await stand.ids(readers[0]) == await stand.ids(readers[1]) == [second, *first]


async def test_events_of_a_post_may_come_in_any_order(stand: Stand) -> None:
    author, reader = new_id(), new_id()
    await stand.followed((reader, author))
    (kept,) = await stand.post(author)
    gone, also = new_id(), new_id()
    assert await stand.ids(reader) == [kept]
    await stand.feed.apply([deleted(author, gone)])
    await stand.feed.apply([created(author, gone), deleted(author, also), created(author, also)])
    assert await stand.ids(reader) == [kept]
    await stand.timelines.drop([reader])
    assert await stand.ids(reader) == [kept]


async def test_a_push_that_crosses_an_unfollow_leaves_nothing(stand: Stand) -> None:
    author, leaver, *others = [new_id() for _ in range(4)]
    readers = [leaver, others[0]]
    await stand.followed(*((reader, author) for reader in readers))
    for reader in readers:
        assert await stand.ids(reader) == []
    followers_of = stand.store.followers_of

    async def crossed(authors: list[UUID]) -> dict[UUID, list[str]]:
        found = await followers_of(authors)
        stand.store.followers_of = followers_of  # type: ignore[method-assign]
        await stand.follows.unfollow(leaver, author)
        await stand.timelines.drop_ended([leaver])
        assert await stand.ids(leaver) == []  # loaded anew before the push
        return found

    stand.store.followers_of = crossed  # type: ignore[method-assign,assignment]
    ids = await stand.post(author)
    assert await stand.ids(leaver) == []
    assert await stand.ids(others[0]) == ids


async def test_a_cursor_is_an_id(stand: Stand) -> None:
    author, *readers = [new_id() for _ in range(POPULAR + 1)]
    await stand.followed(*((reader, author) for reader in readers))
    ids = await stand.post(author, 5)
    page = FeedPage.model_validate_json(await stand.feed.page(readers[0], PageQuery(limit=2)))
    assert str(id_cursor(page.next_cursor)) == ids[1]
