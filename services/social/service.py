"""Rules of following, blocking and recommending.

Whether another user exists is not checked: accounts belong to another service, are never deleted,
and a follow of nobody shows nobody's posts. Who follows whom is public.
"""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page, PageQuery
from pulse_sdk.contract.internal import FollowersPage, FollowersQuery, Imported, ImportFollows
from pulse_sdk.contract.social import (
    Block,
    Counts,
    Follow,
    Recommendations,
    RecommendationsQuery,
    Relation,
)
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import encode_cursor, id_cursor
from services.social.store import ListedRow, SocialStore
from services.social.timelines import Timelines

MAX_FOLLOWING = 5_000
"""Most people one person follows (reached by a crossing of requests, a few more): it bounds what
loading their timeline costs. Imports may go beyond."""

RECOMMENDATION_SECONDS = 600
_CANDIDATES = 200
"""Candidates kept for a person: twice what is asked for at most, as some are followed meanwhile."""
_BREADTH = 200
"""Latest follows looked at, of a person and of each of those: at most 40,000, some 20 ms."""


class SocialService:
    """Follows, blocks and recommendations."""

    def __init__(self, store: SocialStore, timelines: Timelines, candidates: Cache) -> None:
        self._store = store
        self._timelines = timelines
        self._candidates = candidates

    async def follow(self, caller: Identity, followee_id: UUID) -> None:
        """Follow someone; following again changes nothing.

        Raises:
            ServiceError: 409 `follow_oneself` or `following_too_many`, 403 `blocked`.
        """
        if followee_id == caller.user_id:
            raise ServiceError.conflict("follow_oneself", "Nobody can follow themselves.")
        if not await self._store.follow(caller.user_id, followee_id, MAX_FOLLOWING):
            detail = f"Nobody can follow more than {MAX_FOLLOWING:,} people."
            raise ServiceError.conflict("following_too_many", detail)
        # Even when nothing changed: the caller may be trying again after this very step failed.
        await self._timelines.drop([caller.user_id])

    async def unfollow(self, caller: Identity, followee_id: UUID) -> None:
        """Stop following someone; without a follow nothing changes."""
        await self._store.unfollow(caller.user_id, followee_id)
        await self._timelines.drop_ended([caller.user_id])

    async def block(self, caller: Identity, blocked_id: UUID) -> None:
        """End what is between the caller and someone, and keep it from beginning anew.

        Raises:
            ServiceError: 409 `block_oneself`.
        """
        if blocked_id == caller.user_id:
            raise ServiceError.conflict("block_oneself", "Nobody can block themselves.")
        await self._store.block(caller.user_id, blocked_id)
        await self._timelines.drop_ended([caller.user_id, blocked_id])

    async def unblock(self, caller: Identity, blocked_id: UUID) -> None:
        """Stop blocking someone; follows that the block ended stay ended."""
        await self._store.unblock(caller.user_id, blocked_id)

    async def following(self, user_id: UUID, query: PageQuery) -> Page[Follow]:
        """Those whom a person follows, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.following(user_id, before, query.limit + 1)
        return _follows(found, query.limit)

    async def followers(self, user_id: UUID, query: PageQuery) -> Page[Follow]:
        """Those who follow a person, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.followers(user_id, before, query.limit + 1)
        return _follows(found, query.limit)

    async def mutuals(self, user_id: UUID, query: PageQuery) -> Page[Follow]:
        """Those whom a person follows and who follow back, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.mutuals(user_id, before, query.limit + 1)
        return _follows(found, query.limit)

    async def blocks(self, caller: Identity, query: PageQuery) -> Page[Block]:
        """Those whom the caller blocks, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.blocks(caller.user_id, before, query.limit + 1)
        items = [Block(user_id=row.user_id, blocked_at=row.since) for row in found[: query.limit]]
        return Page[Block](items=items, next_cursor=_next_cursor(found, query.limit))

    async def counts(self, user_id: UUID) -> Counts:
        """How many follow a person, and how many they follow."""
        return await self._store.counts(user_id)

    async def relation(self, caller: Identity, other_id: UUID) -> Relation:
        """What is between the caller and someone."""
        return await self._store.relation(caller.user_id, other_id)

    async def recommendations(
        self, caller: Identity, query: RecommendationsQuery
    ) -> Recommendations:
        """Friends of friends, those with most friends in common first.

        Who belongs there is up to ten minutes old; nobody whom the caller follows, blocks or is
        blocked by is among them.
        """

        async def load() -> Recommendations:
            found = await self._store.candidates(caller.user_id, _BREADTH, _CANDIDATES)
            return Recommendations(items=found)

        known = await self._candidates.get_or_load(caller.user_id, Recommendations, load)
        strangers = await self._store.strangers(
            caller.user_id, [candidate.user_id for candidate in known.items]
        )
        items = [candidate for candidate in known.items if candidate.user_id in strangers]
        return Recommendations(items=items[: query.limit])

    async def follows(self, follower_id: UUID, followee_id: UUID) -> bool:
        """Whether one person follows another."""
        return await self._store.follows(follower_id, followee_id)

    async def follower_ids(self, user_id: UUID, query: FollowersQuery) -> FollowersPage:
        """Ids of someone's followers, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.followers(user_id, before, query.limit + 1)
        return FollowersPage(
            items=[row.user_id for row in found[: query.limit]],
            next_cursor=_next_cursor(found, query.limit),
        )

    async def import_follows(self, wanted: ImportFollows) -> Imported:
        """Add the follows that are not there yet and that no block forbids; nobody is told.

        Raises:
            ServiceError: 422, someone would follow themselves.
        """
        pairs = [(follow.follower_id, follow.followee_id) for follow in wanted.follows]
        for position, (follower_id, followee_id) in enumerate(pairs):
            if follower_id == followee_id:
                field = f"follows.{position}.followee_id"
                message = "nobody can follow themselves"
                raise ServiceError.invalid([FieldError(field=field, message=message)])
        imported = await self._store.import_follows(pairs)
        await self._timelines.drop({follower_id for follower_id, _ in pairs})
        return Imported(imported=imported)


def _follows(found: list[ListedRow], limit: int) -> Page[Follow]:
    """A page of what was found by asking for one more than the limit."""
    items = [Follow(user_id=row.user_id, followed_at=row.since) for row in found[:limit]]
    return Page[Follow](items=items, next_cursor=_next_cursor(found, limit))


def _next_cursor(found: list[ListedRow], limit: int) -> str | None:
    return encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
