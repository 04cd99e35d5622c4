"""Rules of notifications: made from domain events, read by those they are for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID

from pulse_sdk.contract.common import Page
from pulse_sdk.contract.domain import (
    DomainEvent,
    EventCreatedEvent,
    UserBlockedEvent,
    UserUnblockedEvent,
)
from pulse_sdk.contract.internal import MAX_BATCH, FollowersPage
from pulse_sdk.contract.notifications import (
    Notification,
    NotificationsQuery,
    Preference,
    Preferences,
    QuietHours,
    SetPreference,
    SetQuietHours,
    UnreadCount,
)
from services.kit.auth import Identity
from services.kit.errors import ServiceError
from services.kit.paging import id_cursor, page_of
from services.kit.peers import Peers
from services.notifications.live import Live
from services.notifications.notices import announcements, notices
from services.notifications.store import KINDS, Notice, NotificationStore


class NotificationsService:
    """What happened that concerns a person."""

    def __init__(
        self,
        store: NotificationStore,
        peers: Peers,
        live: Live,
        to_push: Callable[[], None],
    ) -> None:
        self._store = store
        self._peers = peers
        self._live = live
        self._to_push = to_push

    async def handle(self, events: list[DomainEvent]) -> None:
        """Tell those concerned. Repeating it tells nobody twice.

        Raises:
            ServiceError: 503, the database or the social service is away.
        """
        for event in events:
            if isinstance(event, UserBlockedEvent | UserUnblockedEvent):
                blocked = isinstance(event, UserBlockedEvent)
                pair = event.data.blocker_id, event.data.blocked_id
                await self._store.block(*pair, event.time, blocked=blocked)
        await self._tell([notice for event in events for notice in notices(event)])
        for event in events:
            if isinstance(event, EventCreatedEvent):
                async for followers in self._followers(event.data.creator_id):
                    await self._tell(announcements(event, followers))

    async def notifications(
        self, caller: Identity, wanted: NotificationsQuery
    ) -> Page[Notification]:
        """The caller's notifications, newest first."""
        found = await self._store.of_user(
            caller.user_id, id_cursor(wanted.cursor), wanted.limit + 1, unread=wanted.unread
        )
        return page_of(found, wanted.limit, lambda item: str(item.id))

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

    async def delete(self, caller: Identity, notification_id: UUID) -> None:
        """Delete one.

        Raises:
            ServiceError: 404 `notification_not_found`, also when it is somebody else's.
        """
        await self._store.delete(caller.user_id, notification_id)

    async def preferences(self, caller: Identity) -> Preferences:
        """Which notifications the caller wants, and when."""
        return await self._store.preferences(caller.user_id)

    async def prefer(self, caller: Identity, kind: str, wanted: SetPreference) -> Preference:
        """Say through which channels notifications of a kind are wanted.

        Raises:
            ServiceError: 404 `kind_not_found`.
        """
        known = next((known for known in KINDS if known == kind), None)
        if known is None:
            raise ServiceError.not_found("kind")
        await self._store.prefer(caller.user_id, known, wanted)
        return Preference(kind=known, in_app=wanted.in_app, push=wanted.push)

    async def be_quiet(self, caller: Identity, hours: SetQuietHours) -> QuietHours:
        """Say when nothing is to be pushed.

        Raises:
            ServiceError: 422, there is no such time zone.
        """
        await self._store.be_quiet(caller.user_id, hours)
        return QuietHours.model_validate(hours.model_dump())

    async def never_be_quiet(self, caller: Identity) -> None:
        """Have things pushed at any time again."""
        await self._store.never_be_quiet(caller.user_id)

    async def _tell(self, told: list[Notice]) -> None:
        for start in range(0, len(told), MAX_BATCH):
            made = await self._store.insert(told[start : start + MAX_BATCH])
            self._live.show(made.listed)
            if made.pushed:
                self._to_push()

    async def _followers(self, user_id: UUID) -> AsyncIterator[list[UUID]]:
        cursor: str | None = None
        while True:
            query: dict[str, str | int] = {"limit": MAX_BATCH}
            if cursor is not None:
                query["cursor"] = cursor
            page = await self._peers.call(
                "social",
                f"/internal/followers/{user_id}",
                FollowersPage.model_validate_json,
                query=query,
            )
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return
