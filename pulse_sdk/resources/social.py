"""Who follows whom."""

from __future__ import annotations

from types import NoneType

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.social import Follow
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Social(Resource[ClientT_co]):
    """Who follows whom."""

    @endpoint
    def follow(self, user_id: Id) -> Call[None]:
        """Follow someone; following again changes nothing."""
        return Call("PUT", ("social", "following", user_id), NoneType)

    @endpoint
    def unfollow(self, user_id: Id) -> Call[None]:
        """Stop following someone."""
        return Call("DELETE", ("social", "following", user_id), NoneType)

    @listing
    def following(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Follow]]:
        """Those whom the caller follows."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("social", "following"), Page[Follow], query_of(query))

    @listing
    def followers(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Follow]]:
        """Those who follow the caller."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("social", "followers"), Page[Follow], query_of(query))
