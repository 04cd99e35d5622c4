"""Notifications."""

from __future__ import annotations

from types import NoneType

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.notifications import Notification, UnreadCount
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Notifications(Resource[ClientT_co]):
    """What happened and concerns the caller."""

    @listing
    def list(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Notification]]:
        """The caller's notifications, newest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("notifications",), Page[Notification], query_of(query))

    @endpoint
    def unread(self) -> Call[UnreadCount]:
        """How many are unread."""
        return Call("GET", ("notifications", "unread"), UnreadCount)

    @endpoint
    def mark_read(self, notification_id: Id) -> Call[None]:
        """Mark one as read."""
        return Call("PUT", ("notifications", notification_id, "read"), NoneType)

    @endpoint
    def mark_all_read(self) -> Call[None]:
        """Mark all as read."""
        return Call("PUT", ("notifications", "read"), NoneType)
