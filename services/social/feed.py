"""The feed: which posts a reader gets, and how posts get into feeds.

A new post's id is pushed to its author's followers, except for authors with very many followers:
their posts are merged in when a feed is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import orjson
from pydantic import TypeAdapter

from pulse_sdk.contract.common import PageQuery
from pulse_sdk.contract.domain import DomainEvent, PostCreatedEvent, PostDeletedEvent
from pulse_sdk.contract.internal import PostBatch
from pulse_sdk.contract.posts import Post
from services.kit.errors import ServiceError
from services.kit.observe import degraded
from services.kit.paging import encode_cursor, id_cursor
from services.kit.peers import Peers
from services.social.feed_store import Author, AuthorPost, FeedStore
from services.social.store import SocialStore
from services.social.timelines import (
    LENGTH,
    Below,
    Change,
    Part,
    Timelines,
    author_timeline,
)

POPULAR = 5_000
"""Followers from which on an author's posts are merged at reading. A push to so many takes Redis
some 50 ms, during which all other posts wait; merging costs each read of a follower 3 to 10 µs."""

_PUSHED = 5_000
"""Most followers that are read and pushed to at a time, unless one author has more."""

ALL_PUBLIC = b'{"private_author_ids":[],"items":'
"""How a `PostBatch` begins that has no posts of private authors."""

_POSTS_SECONDS = 0.8
"""How long the feed waits for post bodies before it answers without."""


_json = TypeAdapter(list[Post]).dump_json


class Feed:
    """Feeds, read from timelines or, where those end, from PostgreSQL."""

    def __init__(
        self,
        store: FeedStore,
        follows: SocialStore,
        timelines: Timelines,
        peers: Peers,
        popular: int = POPULAR,
    ) -> None:
        self._store = store
        self._follows = follows
        self._timelines = timelines
        self._peers = peers
        self._popular = popular

    async def page(self, reader: UUID, query: PageQuery) -> bytes:
        """Posts of those the reader follows, newest first: the JSON of a `FeedPage`.

        The cursor comes from ids alone, so paging goes on while posts cannot be had, and a page
        that lacks deleted posts is not the last.
        """
        cursor = id_cursor(query.cursor)
        before = None if cursor is None else str(cursor)
        ids = await self._ids(reader, before, query.limit + 1)
        next_cursor = None
        if len(ids) > query.limit:
            ids = ids[: query.limit]
            next_cursor = encode_cursor(ids[-1])
        if not ids:
            return _page(b"[]", next_cursor)
        try:
            posts = await self._peers.call(
                "posts",
                "/internal/posts/batch",
                _posts,
                body=orjson.dumps({"ids": ids}),
                seconds=_POSTS_SECONDS,
            )
        except ServiceError:
            degraded("feed_posts")
            return _page(b"[]", next_cursor, degraded=True)
        if isinstance(posts, PostBatch):
            # A timeline may outlast a follow when Redis was away; what is private must not.
            followed = await self._follows.followed(reader, posts.private_author_ids)
            hidden = set(posts.private_author_ids) - followed
            posts = _json([post for post in posts.items if post.author_id not in hidden])
        return _page(posts, next_cursor)

    async def _ids(self, reader: UUID, before: str | None, count: int) -> list[str]:
        """At most `count` ids of the feed that are older than one, newest first."""
        part, merged = await self._timelines.read(reader, before, count)
        if part.below is Below.UNBUILT:
            part = await self._load(reader, before, count)
        elif merged:
            others = [
                await self._load_author(author, before, count)
                if other.below is Below.UNBUILT
                else other
                for author, other in merged.items()
            ]
            part = _merge([part, *others], count)
        if part.below in {Below.MORE, Below.NOTHING}:
            return part.ids
        start = part.ids[-1] if part.ids else before
        return part.ids + await self._store.feed(reader, start, count - len(part.ids))

    async def _load(self, reader: UUID, before: str | None, count: int) -> Part:
        """Load a reader's timeline; the part of it, which lacks no post of any author."""
        if (marker := await self._timelines.begin(reader)) is None:
            return Part([], Below.UNKNOWN)
        newest, merged = await self._store.timeline(reader, LENGTH)
        await self._timelines.complete(reader, marker, newest, merged)
        return _part_of(newest, before, count)

    async def _load_author(self, author: str, before: str | None, count: int) -> Part:
        """Load the timeline of an author's own posts; the part of it."""
        timeline = author_timeline(author)
        if (marker := await self._timelines.begin(timeline)) is None:
            return Part([], Below.UNKNOWN)
        newest = await self._store.posts_of(author, LENGTH)
        await self._timelines.complete(timeline, marker, newest)
        return _part_of(newest, before, count)

    async def apply(self, events: list[DomainEvent]) -> None:
        """Take posts into feeds and out of them.

        Raises:
            ConnectionError: Redis is away. PostgreSQL has the posts by then; the event's next
                attempt brings them to the timelines.
        """
        deleted = {
            event.data.post_id: AuthorPost(event.data.author_id, event.data.post_id)
            for event in events
            if isinstance(event, PostDeletedEvent)
        }
        created = {
            event.data.post_id: AuthorPost(event.data.author_id, event.data.post_id)
            for event in events
            if isinstance(event, PostCreatedEvent) and event.data.post_id not in deleted
        }
        authors, gone = await self._store.record(list(created.values()), list(deleted.values()))
        changes: dict[UUID, list[Change]] = defaultdict(list)
        for post in created.values():
            if post.post_id not in gone:
                changes[post.author_id].append(Change(str(post.post_id), created=True))
        for post in deleted.values():
            changes[post.author_id].append(Change(str(post.post_id), created=False))
        # Only now: a follow that this does not see drops a timeline after the posts' commit, and
        # so the timeline that is loaded in its stead has them.
        pushed, merged = [], {}
        for author in authors:
            if author.merging == 0 and author.followers < self._popular:
                pushed.append(author)
            else:
                if author.merging < 2:
                    await self._begin_to_merge(author.user_id)
                merged[author_timeline(author.user_id)] = changes[author.user_id]
        await self._timelines.push(merged)
        for some in _packs(pushed, _PUSHED):
            await self._push(some, changes)

    async def _begin_to_merge(self, author: UUID) -> None:
        """Have an author's posts merged from now on, by whoever follows the author."""
        # Timelines that are begun after this step know that they merge; those before are dropped.
        await self._store.set_merging(author, 1)
        before = None
        while followers := await self._follows.followers(author, before, 1000):
            if not await self._timelines.drop(row.user_id for row in followers):
                raise ConnectionError("timelines cannot be dropped")
            before = followers[-1].id
        await self._store.set_merging(author, 2)

    async def _push(self, authors: Sequence[UUID], changes: dict[UUID, list[Change]]) -> None:
        followers = await self._store.followers_of(authors)
        of_readers: dict[str, list[Change]] = defaultdict(list)
        for author, readers in followers.items():
            for reader in readers:
                of_readers[reader] += changes[author]
        if await self._timelines.push(of_readers):
            now = await self._store.followers_of(authors)
            left = {
                reader
                for author, readers in followers.items()
                for reader in set(readers).difference(now.get(author, ()))
            }
            await self._timelines.drop(left)


def _posts(batch: bytes) -> PostBatch | bytes:
    """Posts of a batch: passed on as they came when nobody is private, read only if it matters."""
    if batch.startswith(ALL_PUBLIC):
        return batch[len(ALL_PUBLIC) : -1]
    return PostBatch.model_validate_json(batch)


def _page(items: bytes, next_cursor: str | None, *, degraded: bool = False) -> bytes:
    fields = orjson.dumps({"next_cursor": next_cursor, "degraded": degraded})
    return b'{"items":%b,%b' % (items, fields[1:])


def _packs(authors: Iterable[Author], most: int) -> Iterator[list[UUID]]:
    """Authors in groups that have at most so many followers together, or are alone."""
    pack: list[UUID] = []
    followers = 0
    for author in authors:
        if pack and followers + author.followers > most:
            yield pack
            pack, followers = [], 0
        pack.append(author.user_id)
        followers += author.followers
    if pack:
        yield pack


def _part_of(newest: list[str], before: str | None, count: int) -> Part:
    """The part of a timeline that was loaded with these ids."""
    ids = [post_id for post_id in newest if before is None or post_id < before][:count]
    if len(ids) == count:
        return Part(ids, Below.MORE)
    return Part(ids, Below.NOTHING if len(newest) < LENGTH else Below.OLDER)


def _merge(parts: Sequence[Part], count: int) -> Part:
    """The newest of several parts, as far down as none of them lacks anything."""
    cut = [part for part in parts if part.below in {Below.OLDER, Below.UNKNOWN}]
    lowest = max((part.ids[-1] if part.ids else "~" for part in cut), default="")
    ids = sorted({i for part in parts for i in part.ids if i >= lowest}, reverse=True)[:count]
    if len(ids) == count:
        return Part(ids, Below.MORE)
    return Part(ids, Below.OLDER if cut else Below.NOTHING)
