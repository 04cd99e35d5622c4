"""Rules of events and answers to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page, PageQuery
from pulse_sdk.contract.events import AnswerInvitation, CreateEvent, Event, Rsvp
from services.events.store import EventStore
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import decode_cursor, invalid_cursor, page_of

_FARTHEST = timedelta(days=36_525)
"""A hundred years ahead, well within what PostgreSQL and Python both can tell."""


class EventsService:
    """Events that people attend."""

    def __init__(self, store: EventStore, events: Cache) -> None:
        self._store = store
        self._events = events

    async def create(self, caller: Identity, wanted: CreateEvent, key: str | None) -> Event:
        """Announce an event; the same `key` announces it once.

        Raises:
            ServiceError: 422, it begins in the past or more than a hundred years ahead; 409
                `idempotency_key_reused`, the key was used for something else.
        """
        now = datetime.now(UTC)
        if not now < wanted.starts_at < now + _FARTHEST:
            message = "must be in the future, at most a hundred years ahead"
            raise ServiceError.invalid([FieldError(field="starts_at", message=message)])
        event = await self._store.insert(caller.user_id, wanted, key)
        if CreateEvent.model_validate(event.model_dump(include=set(CreateEvent.model_fields))) != (
            wanted
        ):
            raise ServiceError.conflict(
                "idempotency_key_reused", "This Idempotency-Key was used for another event."
            )
        return event

    async def event(self, event_id: UUID) -> Event:
        """An event.

        Raises:
            ServiceError: 404 `event_not_found`.
        """

        async def load() -> Event:
            return await self._store.by_id(event_id)

        return await self._events.get_or_load(event_id, Event, load)

    async def upcoming(self, page: PageQuery) -> Page[Event]:
        """Events that have not begun, soonest first."""
        found = await self._store.upcoming(_position(page.cursor), page.limit + 1)
        return page_of(found, page.limit, lambda e: f"{e.starts_at.isoformat()} {e.id}")

    async def answer(self, caller: Identity, event_id: UUID, invited: AnswerInvitation) -> Rsvp:
        """Answer an event, or change the answer.

        Raises:
            ServiceError: 404 `event_not_found`; 409 `event_full`.
        """
        rsvp = await self._store.answer(await self.event(event_id), caller.user_id, invited.answer)
        await self._events.drop(event_id)
        return rsvp


def _position(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    starts_at, _, event_id = decode_cursor(cursor).partition(" ")
    try:
        return datetime.fromisoformat(starts_at), UUID(event_id)
    except ValueError:
        raise invalid_cursor() from None
