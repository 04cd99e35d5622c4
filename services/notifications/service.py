"""Rules of notifications: made from domain events, read by those they are for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.domain import DomainEvent, EventCreatedEvent
from pulse_sdk.contract.internal import MAX_BATCH, FollowersPage
from pulse_sdk.contract.notifications import Notification, UnreadCount
from services.kit.auth import Identity
from services.kit.paging import id_cursor, page_of
from services.kit.peers import Peers
from services.notifications.notices import announcements, notices
from services.notifications.store import NotificationStore


class NotificationsService:
    """What happened that concerns a person."""

    def __init__(self, store: NotificationStore, peers: Peers) -> None:
        self._store = store
        self._peers = peers

    async def handle(self, events: list[DomainEvent]) -> None:
        """Tell those concerned. Repeating it tells nobody twice.

        Raises:
            ServiceError: 503, the database or the social service is away.
        """
        await self._store.insert([notice for event in events for notice in notices(event)])
        for event in events:
            if isinstance(event, EventCreatedEvent):
                async for followers in self._followers(event.data.creator_id):
                    await self._store.insert(announcements(event, followers))

    async def notifications(self, caller: Identity, page: PageQuery) -> Page[Notification]:
        """The caller's notifications, newest first."""
        found = await self._store.of_user(caller.user_id, id_cursor(page.cursor), page.limit + 1)
        return page_of(found, page.limit, lambda item: str(item.id))

    async def unread(self, caller: Identity) -> UnreadCount:
        """How many of the caller's notifications are unread."""
        return UnreadCount(unread=await self._store.unread(caller.user_id))

    async def read(self, caller: Identity, notification_id: UUID) -> None:
        """Mark one as read.

        Raises:
            ServiceError: 404 `notification_not_found`, also when it is somebody else's.
        """
        await self._store.read(caller.user_id, notification_id)

    async def read_all(self, caller: Identity) -> None:
        """Mark all as read."""
        await self._store.read_all(caller.user_id)

    async def _followers(self, user_id: UUID) -> AsyncIterator[list[UUID]]:
        cursor: str | None = None
        while True:
            query: dict[str, str | int] = {"limit": MAX_BATCH}
            if cursor is not None:
                query["cursor"] = cursor
            page = await self._peers.call(
                "social", f"/internal/followers/{user_id}", FollowersPage, query=query
            )
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return
