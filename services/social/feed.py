"""The feed: which posts a reader gets, and how posts get into feeds."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from pulse_sdk.contract.common import PageQuery
from pulse_sdk.contract.domain import DomainEvent, PostCreatedEvent, PostDeletedEvent
from pulse_sdk.contract.internal import PostBatch, PostsByIds
from pulse_sdk.contract.social import FeedPage
from services.kit.errors import ServiceError
from services.kit.observe import DEGRADED
from services.kit.paging import encode_cursor, id_cursor
from services.kit.peers import Peers
from services.social.store import AuthorPost, SocialStore
from services.social.timelines import LENGTH, Below, Change, Timelines

_POSTS_SECONDS = 0.8
"""How long the feed waits for post bodies before it answers without."""


class Feed:
    """Feeds, read from timelines or, where those end, from PostgreSQL."""

    def __init__(self, store: SocialStore, timelines: Timelines, peers: Peers) -> None:
        self._store = store
        self._timelines = timelines
        self._peers = peers

    async def page(self, reader: UUID, query: PageQuery) -> FeedPage:
        """Posts of those the reader follows, newest first.

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
            return FeedPage(items=[], next_cursor=next_cursor)
        try:
            batch = await self._peers.call(
                "posts",
                "/internal/posts/batch",
                PostBatch,
                body=PostsByIds(ids=ids),
                seconds=_POSTS_SECONDS,
            )
        except ServiceError:
            DEGRADED.labels("feed_posts").inc()
            return FeedPage(items=[], next_cursor=next_cursor, degraded=True)
        return FeedPage(items=batch.items, next_cursor=next_cursor)

    async def _ids(self, reader: UUID, before: str | None, count: int) -> list[str]:
        """At most `count` ids of the feed that are older than one, newest first."""
        part = await self._timelines.read(reader, before, count)
        if part.below in {Below.MORE, Below.NOTHING}:
            return part.ids
        if part.below is Below.UNBUILT and (marker := await self._timelines.begin(reader)):
            newest = await self._store.feed(reader, None, LENGTH)
            await self._timelines.complete(reader, marker, newest)
            found = [post_id for post_id in newest if before is None or post_id < before]
            if len(found) >= count or len(newest) < LENGTH:
                return found[:count]
            return await self._continued(reader, found, before, count)
        return await self._continued(reader, part.ids, before, count)

    async def _continued(
        self, reader: UUID, ids: list[str], before: str | None, count: int
    ) -> list[str]:
        start = ids[-1] if ids else before
        return ids + await self._store.feed(reader, start, count - len(ids))

    async def apply(self, events: list[DomainEvent]) -> None:
        """Take posts into feeds and out of them.

        Raises:
            ConnectionError: Redis is away. PostgreSQL has the posts by then; the event's next
                attempt brings them to the timelines.
        """
        last = {
            event.data.post_id: event
            for event in events
            if isinstance(event, PostCreatedEvent | PostDeletedEvent)
        }
        created, deleted = (
            [
                AuthorPost(event.data.author_id, event.data.post_id)
                for event in last.values()
                if isinstance(event, kind)
            ]
            for kind in (PostCreatedEvent, PostDeletedEvent)
        )
        await self._store.record(created, deleted)
        # Only now: a follow that this does not see drops a timeline after the posts' commit, and
        # so the timeline that is loaded in its stead has them.
        followers = await self._store.followers_of(
            list({post.author_id for post in created + deleted})
        )
        changes: dict[str, list[Change]] = defaultdict(list)
        for posts, are_created in ((created, True), (deleted, False)):
            for post in posts:
                change = Change(str(post.post_id), are_created)
                for reader in followers.get(post.author_id, ()):
                    changes[reader].append(change)
        await self._timelines.push(changes)
