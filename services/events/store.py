"""Events and answers to them in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.domain import EventChanged, EventCreatedEvent, EventRsvp, EventRsvpEvent
from pulse_sdk.contract.events import Answer, CreateEvent, Event, Rsvp
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_COLUMNS = (
    "id, creator_id, title, description, location, starts_at, capacity, attending, created_at"
)

_INSERT = Query(
    "event_insert",
    f"""WITH made AS (
        INSERT INTO events (id, creator_id, title, description, location, starts_at, capacity,
            idempotency_key)
        VALUES (%(id)s, %(creator_id)s, %(title)s, %(description)s, %(location)s, %(starts_at)s,
            %(capacity)s, %(key)s)
        ON CONFLICT (creator_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING {_COLUMNS}
    ), event AS ({outbox.INSERT} FROM made)
    SELECT {_COLUMNS} FROM made""",
)
_BY_KEY = Query(
    "event_by_key",
    f"""SELECT {_COLUMNS} FROM events
    WHERE creator_id = %(creator_id)s AND idempotency_key = %(key)s""",
)
_BY_ID = Query("event_by_id", f"SELECT {_COLUMNS} FROM events WHERE id = %(id)s")
_UPCOMING = Query(
    "events_upcoming",
    f"""SELECT {_COLUMNS} FROM events WHERE starts_at > now()
    ORDER BY starts_at, id LIMIT %(limit)s""",
)
_UPCOMING_AFTER = Query(
    "events_upcoming_after",
    f"""SELECT {_COLUMNS} FROM events
    WHERE (starts_at, id) > (%(starts_at)s, %(id)s) AND starts_at > now()
    ORDER BY starts_at, id LIMIT %(limit)s""",
)

# The upsert locks the caller's row and sees its latest answer, the update locks the event's row
# and sees its latest count; `events_capacity` then refuses what would be too many. So the count
# is exact and the capacity holds however many answer at once.
_RSVP = Query(
    "event_rsvp",
    f"""WITH answered AS (
        INSERT INTO rsvps AS r (event_id, user_id, answer)
        VALUES (%(id)s, %(user_id)s, %(answer)s)
        ON CONFLICT (event_id, user_id) DO UPDATE
            SET previous = r.answer, answer = excluded.answer, updated_at = now()
        RETURNING event_id, user_id, answer, previous, updated_at
    ), counted AS (
        UPDATE events SET attending = attending + CASE WHEN answer = 'yes' THEN 1 ELSE -1 END
        FROM answered
        WHERE id = event_id AND (answer = 'yes') <> (previous IS NOT DISTINCT FROM 'yes')
    ), event AS ({outbox.INSERT} FROM answered WHERE previous IS DISTINCT FROM answer)
    SELECT event_id, user_id, answer, updated_at FROM answered""",
)


class EventStore:
    """Reads and writes events and answers."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, creator_id: UUID, wanted: CreateEvent, key: str | None) -> Event:
        """Make an event and its `event.created`, or find the one that was made with this key."""
        event_id = new_id()
        params = {
            "id": event_id,
            "creator_id": creator_id,
            "title": wanted.title,
            "description": wanted.description,
            "location": wanted.location,
            "starts_at": wanted.starts_at,
            "capacity": wanted.capacity,
            "key": key,
        }
        changed = EventChanged(
            event_id=event_id,
            creator_id=creator_id,
            title=wanted.title,
            starts_at=wanted.starts_at,
        )
        event = envelope(EventCreatedEvent, "events", changed)
        row = await self._database.row(_INSERT, with_event(params, event))
        if row is None:
            return _event(_present(await self._database.row(_BY_KEY, params)))
        self._outbox.wake()
        return _event(row)

    async def by_id(self, event_id: UUID) -> Event:
        """An event.

        Raises:
            ServiceError: 404.
        """
        return _event(_present(await self._database.row(_BY_ID, {"id": event_id})))

    async def upcoming(self, after: tuple[datetime, UUID] | None, limit: int) -> list[Event]:
        """Events that have not begun, soonest first, those after a start and id when given."""
        params: dict[str, object] = {"limit": limit}
        if after is None:
            rows = await self._database.rows(_UPCOMING, params)
        else:
            params["starts_at"], params["id"] = after
            rows = await self._database.rows(_UPCOMING_AFTER, params)
        return [_event(row) for row in rows]

    async def answer(self, event: Event, user_id: UUID, answer: Answer) -> Rsvp:
        """Write an answer and, when it is another than before, its `event.rsvp`.

        Raises:
            ServiceError: 409 `event_full`.
        """
        told = EventRsvp(
            event_id=event.id, creator_id=event.creator_id, user_id=user_id, answer=answer
        )
        params = {"id": event.id, "user_id": user_id, "answer": answer}
        try:
            row = await self._database.row(
                _RSVP, with_event(params, envelope(EventRsvpEvent, "events", told))
            )
        except psycopg2.errors.CheckViolation:
            raise ServiceError.conflict("event_full", "All places are taken.") from None
        self._outbox.wake()
        event_id, user_id, answer, updated_at = _present(row)
        return Rsvp(event_id=event_id, user_id=user_id, answer=answer, updated_at=updated_at)


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("event")
    return row


def _event(row: Row) -> Event:
    event_id, creator_id, title, description, location, starts_at, capacity, attending, made = row
    return Event(
        id=event_id,
        creator_id=creator_id,
        title=title,
        description=description,
        location=location,
        starts_at=starts_at,
        capacity=capacity,
        attending=attending,
        created_at=made,
    )
