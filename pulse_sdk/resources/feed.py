"""The home feed."""

from __future__ import annotations

from pulse_sdk._call import Call, query_of
from pulse_sdk.contract.common import PageQuery
from pulse_sdk.contract.social import FeedPage
from pulse_sdk.resources._base import ClientT_co, Resource, listing


class Feed(Resource[ClientT_co]):
    """The home feed."""

    @listing
    def list(self, *, limit: int = 20, cursor: str | None = None) -> Call[FeedPage]:
        """Posts of those the caller follows, newest first; a page may be `degraded`."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("feed",), FeedPage, query_of(query))
