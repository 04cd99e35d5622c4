"""Rules of following.

Whether a followed user exists is not checked: accounts belong to another service, are never
deleted, and a follow of nobody shows nobody's posts.
"""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page, PageQuery
from pulse_sdk.contract.internal import FollowersPage, FollowersQuery, Imported, ImportFollows
from pulse_sdk.contract.social import Follow
from services.kit.auth import Identity
from services.kit.errors import ServiceError
from services.kit.paging import encode_cursor, id_cursor
from services.social.store import FollowRow, SocialStore
from services.social.timelines import Timelines


class SocialService:
    """Follows."""

    def __init__(self, store: SocialStore, timelines: Timelines) -> None:
        self._store = store
        self._timelines = timelines

    async def follow(self, caller: Identity, followee_id: UUID) -> None:
        """Follow someone; following again changes nothing.

        Raises:
            ServiceError: 409 `follow_oneself`.
        """
        if followee_id == caller.user_id:
            raise ServiceError.conflict("follow_oneself", "Nobody can follow themselves.")
        await self._store.follow(caller.user_id, followee_id)
        # Even when nothing changed: the caller may be trying again after this very step failed.
        await self._timelines.drop([caller.user_id])

    async def unfollow(self, caller: Identity, followee_id: UUID) -> None:
        """Stop following someone; without a follow nothing changes."""
        await self._store.unfollow(caller.user_id, followee_id)
        await self._timelines.drop([caller.user_id])

    async def following(self, caller: Identity, query: PageQuery) -> Page[Follow]:
        """Those whom the caller follows, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.following(caller.user_id, before, query.limit + 1)
        return _page(found, query.limit)

    async def followers(self, caller: Identity, query: PageQuery) -> Page[Follow]:
        """Those who follow the caller, latest first."""
        before = id_cursor(query.cursor)
        found = await self._store.followers(caller.user_id, before, query.limit + 1)
        return _page(found, query.limit)

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
        """Add the follows that are not there yet; nobody is told.

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


def _page(found: list[FollowRow], limit: int) -> Page[Follow]:
    """A page of what was found by asking for one more than the limit."""
    items = [Follow(user_id=row.user_id, followed_at=row.followed_at) for row in found[:limit]]
    return Page[Follow](items=items, next_cursor=_next_cursor(found, limit))


def _next_cursor(found: list[FollowRow], limit: int) -> str | None:
    return encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
