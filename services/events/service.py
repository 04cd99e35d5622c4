"""Rules of events and answers to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page
from pulse_sdk.contract.events import (
    AnswerInvitation,
    Attendee,
    AttendeesQuery,
    CreateEvent,
    EditEvent,
    Event,
    EventsQuery,
    Rsvp,
)
from services.events.answers import AnswerStore
from services.events.store import EventStore
from services.kit.auth import Identity
from services.kit.blocks import Blocks
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import decode_cursor, invalid_cursor, page_of

_FARTHEST = timedelta(days=36_525)
"""A hundred years ahead, well within what PostgreSQL and Python both can tell."""

_NOT_NEWS = {"capacity"}
"""What may change without those who answered being told."""

_EDITS = 5
"""How often an edit is tried when others edit the event meanwhile."""


class EventsService:
    """Events that people attend."""

    def __init__(
        self, store: EventStore, answers: AnswerStore, blocks: Blocks, events: Cache
    ) -> None:
        self._store = store
        self._answers = answers
        self._blocks = blocks
        self._events = events

    async def create(self, caller: Identity, wanted: CreateEvent, key: str | None) -> Event:
        """Announce an event; the same `key` announces it once.

        Raises:
            ServiceError: 422, it begins in the past or more than a hundred years ahead; 409
                `idempotency_key_reused`, the key was used for something else.
        """
        _in_the_future(wanted.starts_at)
        event = await self._store.insert(caller.user_id, wanted, key)
        made = CreateEvent.model_validate(event.model_dump(include=set(CreateEvent.model_fields)))
        if event.version == 1 and made != wanted:  # what was edited is not compared
            raise ServiceError.conflict(
                "idempotency_key_reused", "This Idempotency-Key was used for another event."
            )
        return event

    async def edit(
        self,
        caller: Identity,
        event_id: UUID,
        wanted: EditEvent,
        versions: frozenset[int] | None,
    ) -> Event:
        """Change an event; those who answered are told, and a larger capacity lets people in.

        With `versions`, only an event in one of them is changed.

        Raises:
            ServiceError: 404 `event_not_found`; 403 `not_creator`; 409 `event_cancelled`,
                `capacity_taken`, `edited_meanwhile`; 412 `stale`; 422, it would begin in the past
                or too far ahead.
        """
        if wanted.starts_at is not None:
            _in_the_future(wanted.starts_at)
        for _ in range(_EDITS):
            event = await self._own(caller, event_id)
            if event.cancelled_at is not None:
                raise ServiceError.conflict("event_cancelled", "The event is cancelled.")
            if versions is not None and event.version not in versions:
                raise ServiceError.stale("event")
            changes = {
                name: value
                for name in wanted.model_fields_set
                if (value := getattr(wanted, name)) != getattr(event, name)
            }
            if not changes:
                return event
            edited = event.model_copy(update=changes)
            news = not changes.keys() <= _NOT_NEWS
            saved = await self._store.update(edited, changes.keys(), tell=news)
            if saved is not None:
                await self._events.drop(event_id)
                return saved
        raise ServiceError.conflict("edited_meanwhile", "Others edit the event; try again.")

    async def cancel(self, caller: Identity, event_id: UUID) -> Event:
        """Cancel an event for good; it can still be read.

        Raises:
            ServiceError: 404 `event_not_found`; 403 `not_creator`.
        """
        cancelled = await self._store.cancel(await self._own(caller, event_id))
        await self._events.drop(event_id)
        return cancelled

    async def delete(self, caller: Identity, event_id: UUID) -> None:
        """Delete an event and the answers to it.

        Raises:
            ServiceError: 404 `event_not_found`; 403 `not_creator`.
        """
        await self._store.delete(await self._own(caller, event_id))
        await self._events.drop(event_id)

    async def event(self, event_id: UUID) -> Event:
        """An event.

        Raises:
            ServiceError: 404 `event_not_found`.
        """

        async def load() -> Event:
            return await self._store.by_id(event_id)

        return await self._events.get_or_load(event_id, Event, load)

    async def listed(self, wanted: EventsQuery) -> Page[Event]:
        """Events that are not cancelled, soonest first."""
        found = await self._store.listed(wanted, _position(wanted.cursor), wanted.limit + 1)
        return page_of(found, wanted.limit, lambda e: f"{e.starts_at.isoformat()} {e.id}")

    async def answer(self, caller: Identity, event_id: UUID, invited: AnswerInvitation) -> Rsvp:
        """Answer an event, or change the answer.

        Raises:
            ServiceError: 404 `event_not_found`; 409 `event_cancelled`; 403 `blocked`, the one who
                announced it and the caller have blocked one another: the answer can be `no` alone.
        """
        event = await self.event(event_id)
        blocked = await self._blocks.between(caller.user_id, {event.creator_id})
        if blocked and invited.answer != "no":
            raise ServiceError.forbidden("blocked", "One of you has blocked the other.")
        try:
            return await self._answers.answer(event, caller.user_id, invited.answer)
        finally:
            await self._events.drop(event_id)

    async def answer_of(self, caller: Identity, event_id: UUID) -> Rsvp:
        """The caller's answer.

        Raises:
            ServiceError: 404 `rsvp_not_found`.
        """
        return await self._answers.answer_of(event_id, caller.user_id)

    async def attendees(self, event_id: UUID, wanted: AttendeesQuery) -> Page[Attendee]:
        """Those who gave an answer, in the order they did.

        Raises:
            ServiceError: 404 `event_not_found`.
        """
        await self.event(event_id)
        found = await self._answers.attendees(
            event_id, wanted.answer, _position(wanted.cursor), wanted.limit + 1
        )
        return page_of(found, wanted.limit, lambda a: f"{a.updated_at.isoformat()} {a.user_id}")

    async def _own(self, caller: Identity, event_id: UUID) -> Event:
        event = await self._store.by_id(event_id)
        if event.creator_id != caller.user_id:
            raise ServiceError.forbidden("not_creator", "Only who announced it may do this.")
        return event


def _in_the_future(starts_at: datetime) -> None:
    now = datetime.now(UTC)
    if not now < starts_at < now + _FARTHEST:
        message = "must be in the future, at most a hundred years ahead"
        raise ServiceError.invalid([FieldError(field="starts_at", message=message)])


def _position(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    moment, _, item_id = decode_cursor(cursor).partition(" ")
    try:
        return datetime.fromisoformat(moment), UUID(item_id)
    except ValueError:
        raise invalid_cursor() from None
