"""Who follows and who blocks whom, and whom to follow."""

from __future__ import annotations

from types import NoneType

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.social import (
    Block,
    Counts,
    Follow,
    Recommendations,
    RecommendationsQuery,
    Relation,
)
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Social(Resource[ClientT_co]):
    """Who follows and who blocks whom, and whom to follow. Lists are latest first."""

    @endpoint
    def follow(self, user_id: Id) -> Call[None]:
        """Follow someone; following again changes nothing."""
        return Call("PUT", ("social", "following", user_id), NoneType)

    @endpoint
    def unfollow(self, user_id: Id) -> Call[None]:
        """Stop following someone."""
        return Call("DELETE", ("social", "following", user_id), NoneType)

    @listing
    def following(
        self, user_id: Id | None = None, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Follow]]:
        """Those whom someone follows, the caller without `user_id`."""
        return _follows(user_id, "following", limit, cursor)

    @listing
    def followers(
        self, user_id: Id | None = None, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Follow]]:
        """Those who follow someone, the caller without `user_id`."""
        return _follows(user_id, "followers", limit, cursor)

    @listing
    def mutuals(
        self, user_id: Id | None = None, *, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Follow]]:
        """Those whom someone follows and who follow back, the caller without `user_id`."""
        return _follows(user_id, "mutuals", limit, cursor)

    @endpoint
    def counts(self, user_id: Id) -> Call[Counts]:
        """How many follow someone, and how many they follow."""
        return Call("GET", ("social", "users", user_id, "counts"), Counts)

    @endpoint
    def relation(self, user_id: Id) -> Call[Relation]:
        """What is between the caller and someone else."""
        return Call("GET", ("social", "users", user_id, "relation"), Relation)

    @endpoint
    def block(self, user_id: Id) -> Call[None]:
        """Block someone: follows between the two end, and none can begin."""
        return Call("PUT", ("social", "blocks", user_id), NoneType)

    @endpoint
    def unblock(self, user_id: Id) -> Call[None]:
        """Stop blocking someone; follows that the block ended stay ended."""
        return Call("DELETE", ("social", "blocks", user_id), NoneType)

    @listing
    def blocks(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Block]]:
        """Those whom the caller blocks."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("social", "blocks"), Page[Block], query_of(query))

    @endpoint
    def recommendations(self, *, limit: int = 20) -> Call[Recommendations]:
        """People to follow: friends of friends, those with most in common first."""
        query = query_of(RecommendationsQuery(limit=limit))
        return Call("GET", ("social", "recommendations"), Recommendations, query)


def _follows(user_id: Id | None, which: str, limit: int, cursor: str | None) -> Call[Page[Follow]]:
    query = query_of(PageQuery(limit=limit, cursor=cursor))
    of: tuple[Id, ...] = ("social",) if user_id is None else ("social", "users", user_id)
    return Call("GET", (*of, which), Page[Follow], query)
