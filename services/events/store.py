"""Events in PostgreSQL; answers to them are in `answers`.

What reads answers and writes counts first locks the event's row, in a statement of its own that
is sent along: the next one then sees all that was written before it got the lock. PostgreSQL runs
what is sent together as one transaction, so it is still one round trip.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2.errors
from pydantic import BaseModel

from pulse_sdk.contract.domain import (
    EventCancelledEvent,
    EventChanged,
    EventCreatedEvent,
    EventNews,
    EventPromotedEvent,
    EventReminderEvent,
    EventUpdatedEvent,
)
from pulse_sdk.contract.events import CreateEvent, Event, EventsQuery
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

REMINDER_MINUTES = 60
"""How long before it begins people are reminded of an event."""

_RECIPIENTS = 500
"""Most people whom one domain event tells."""

_FIELDS = (
    "title",
    "description",
    "location",
    "latitude",
    "longitude",
    "starts_at",
    "capacity",
)
_COLUMNS = ", ".join(
    ("id", "creator_id", *_FIELDS, "attending", "waiting", "version", "cancelled_at", "created_at")
)

LOCK = "SELECT FROM events WHERE id = %(id)s FOR UPDATE;"


def tell(prefix: str, people: str) -> str:
    """A domain event for those whom `people`, a FROM clause, gives; several when they are many.

    The parameters are those that `news` makes. Who is null makes an event for nobody.
    """
    return f"""INSERT INTO outbox (id, type, envelope)
    SELECT id, %({prefix}_type)s, jsonb_set(
        %({prefix}_envelope)s::jsonb
            || jsonb_build_object('id', id, 'time', clock_timestamp()),
        '{{data,recipient_ids}}', recipient_ids
    )::text
    FROM (
        SELECT gen_random_uuid() AS id,
            coalesce(jsonb_agg(user_id) FILTER (WHERE user_id IS NOT NULL), '[]') AS recipient_ids
        FROM (
            SELECT user_id, (row_number() OVER () - 1) / {_RECIPIENTS} AS part FROM {people}
        ) AS numbered
        GROUP BY part
    ) AS parts"""


_INVOLVED = "event_id = %(id)s AND answer <> 'no' AND user_id <> %(creator_id)s"
"""Whose plans an event is part of: those who declined are not told what becomes of it."""

_INSERT = Query(
    "event_insert",
    f"""WITH made AS (
        INSERT INTO events (id, creator_id, {", ".join(_FIELDS)}, idempotency_key)
        VALUES (%(id)s, %(creator_id)s, {", ".join(f"%({name})s" for name in _FIELDS)}, %(key)s)
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

# Nobody waits unless all places are taken, so a larger capacity lets in those first in line.
_UPDATE = Query(
    "event_update",
    f"""{LOCK}
    WITH target AS (
        SELECT attending FROM events
        WHERE id = %(id)s AND version = %(version)s AND cancelled_at IS NULL
    ), promoted AS (
        UPDATE rsvps SET previous = answer, answer = 'yes', updated_at = clock_timestamp()
        WHERE event_id = %(id)s AND user_id IN (
            SELECT user_id FROM rsvps
            WHERE event_id = %(id)s AND answer = 'waiting' AND EXISTS (SELECT FROM target)
            ORDER BY updated_at, user_id
            LIMIT (
                SELECT CASE WHEN %(capacity)s::integer IS NOT NULL
                    THEN greatest(%(capacity)s::integer - attending, 0) END
                FROM target
            )
        )
        RETURNING user_id
    ), changed AS (
        UPDATE events SET {", ".join(f"{name} = %({name})s" for name in _FIELDS)},
            attending = attending + (SELECT count(*) FROM promoted),
            waiting = waiting - (SELECT count(*) FROM promoted),
            version = version + 1,
            reminded_at = CASE WHEN starts_at = %(starts_at)s THEN reminded_at END
        WHERE id = %(id)s AND EXISTS (SELECT FROM target)
        RETURNING {_COLUMNS}
    ), told AS ({
        tell("updated", f"changed LEFT JOIN rsvps ON %(tell)s AND {_INVOLVED}")
    }), let_in AS ({tell("promoted", "promoted")})
    SELECT {_COLUMNS} FROM changed""",
)
_CANCEL = Query(
    "event_cancel",
    f"""{LOCK}
    WITH changed AS (
        UPDATE events SET cancelled_at = now(), version = version + 1
        WHERE id = %(id)s AND cancelled_at IS NULL
        RETURNING {_COLUMNS}
    ), told AS ({tell("cancelled", f"changed LEFT JOIN rsvps ON {_INVOLVED}")})
    SELECT {_COLUMNS} FROM changed""",
)
_DELETE = Query(
    "event_delete",
    f"""{LOCK}
    WITH gone AS (
        DELETE FROM events WHERE id = %(id)s RETURNING cancelled_at, starts_at
    ), answers AS (
        DELETE FROM rsvps WHERE event_id = %(id)s
    ), told AS ({
        tell(
            "cancelled",
            f"gone JOIN rsvps ON cancelled_at IS NULL AND starts_at > now() AND {_INVOLVED}",
        )
    })
    SELECT 1 FROM gone""",
)
_DUE = Query(
    "events_due",
    f"""SELECT {_COLUMNS} FROM events
    WHERE reminded_at IS NULL AND cancelled_at IS NULL AND starts_at > now()
        AND starts_at <= now() + interval '{REMINDER_MINUTES} minutes'
    ORDER BY starts_at LIMIT 100""",
)
# Whoever sets `reminded_at` first tells people, so several instances may look at once.
_REMIND = Query(
    "event_remind",
    f"""{LOCK}
    WITH due AS (
        UPDATE events SET reminded_at = now()
        WHERE id = %(id)s AND reminded_at IS NULL AND cancelled_at IS NULL
            AND starts_at = %(starts_at)s
        RETURNING id
    ), told AS ({
        tell("reminder", "due JOIN rsvps ON event_id = id AND answer IN ('yes', 'maybe')")
    })
    SELECT 1 FROM due""",
)


def listed(
    wanted: EventsQuery, after: tuple[datetime, UUID] | None
) -> tuple[Query, dict[str, Any]]:
    """The query of a list, soonest first, and its parameters."""
    params: dict[str, Any] = wanted.model_dump(exclude={"cursor"})
    where = ["cancelled_at IS NULL"]
    if wanted.starts_after is None:
        where.append("starts_at > now()")
    else:
        where.append("starts_at > %(starts_after)s")
    if after is not None:
        where.append("(starts_at, id) > (%(after)s, %(after_id)s)")
        params["after"], params["after_id"] = after
    if wanted.starts_before is not None:
        where.append("starts_at < %(starts_before)s")
    name = "events_upcoming"
    if wanted.text is not None:
        name = "events_by_text"
        where.append("words @@ websearch_to_tsquery('simple', %(text)s)")
    if wanted.place is not None:
        name = "events_by_place"
        where.append("place_words @@ plainto_tsquery('simple', %(place)s)")
    if wanted.west is not None and wanted.east is not None:
        name = "events_by_position"
        boxes = [("west", "east")]
        if wanted.west > wanted.east:
            boxes = [("west", "end"), ("start", "east")]
            params |= {"start": -180.0, "end": 180.0}
        inside = " OR ".join(
            "point(longitude, latitude) <@ "
            f"box(point(%({west})s, %(south)s), point(%({east})s, %(north)s))"
            for west, east in boxes
        )
        where.append(f"longitude IS NOT NULL AND ({inside})")
    sql = f"""SELECT {_COLUMNS} FROM events WHERE {" AND ".join(where)}
    ORDER BY starts_at, id LIMIT %(limit)s"""
    return Query(name, sql), params


class EventStore:
    """Reads and writes events."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, creator_id: UUID, wanted: CreateEvent, key: str | None) -> Event:
        """Make an event and its `event.created`, or find the one that was made with this key."""
        event_id = new_id()
        params = {"id": event_id, "creator_id": creator_id, "key": key, **wanted.model_dump()}
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

    async def listed(
        self, wanted: EventsQuery, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Event]:
        """Events, soonest first, those after a start and id when given."""
        query, params = listed(wanted, after)
        rows = await self._database.read(query, {**params, "limit": limit})
        return [_event(row) for row in rows]

    async def update(self, edited: Event, changed: Collection[str], tell: bool) -> Event | None:
        """Write an edited event, and its `event.updated` when those who answered are to be told.

        None when it is no longer in the version that was edited.

        Raises:
            ServiceError: 409 `capacity_taken`, more people attend than it would take.
        """
        params = {
            **edited.model_dump(),
            "tell": tell,
            **news("updated", EventUpdatedEvent, edited, changed),
            **news("promoted", EventPromotedEvent, edited),
        }
        try:
            row = await self._database.row(_UPDATE, params)
        except psycopg2.errors.CheckViolation:
            detail = "More people attend than that; a place is not taken from anybody."
            raise ServiceError.conflict("capacity_taken", detail) from None
        self._outbox.wake()
        return None if row is None else _event(row)

    async def cancel(self, event: Event) -> Event:
        """Cancel an event and tell those who answered; an event that is cancelled stays so.

        Raises:
            ServiceError: 404.
        """
        row = await self._database.row(_CANCEL, self._cancellation(event))
        if row is None:
            return await self.by_id(event.id)
        self._outbox.wake()
        return _event(row)

    async def delete(self, event: Event) -> None:
        """Delete an event; when it was still to come, those who answered are told so.

        Raises:
            ServiceError: 404.
        """
        _present(await self._database.row(_DELETE, self._cancellation(event)))
        self._outbox.wake()

    async def remind(self) -> None:
        """Remind of what begins soon those who said `yes` or `maybe`, once."""
        for row in await self._database.rows(_DUE):
            event = _event(row)
            params = news("reminder", EventReminderEvent, event)
            await self._database.execute(
                _REMIND, {"id": event.id, "starts_at": event.starts_at, **params}
            )
            self._outbox.wake()

    def _cancellation(self, event: Event) -> dict[str, object]:
        told = news("cancelled", EventCancelledEvent, event)
        return {"id": event.id, "creator_id": event.creator_id, **told}


def news(
    prefix: str, kind: type[BaseModel], event: Event, changed: Collection[str] = ()
) -> dict[str, object]:
    """The parameters that `tell` takes."""
    data = EventNews(
        event_id=event.id,
        creator_id=event.creator_id,
        title=event.title,
        starts_at=event.starts_at,
        changed=sorted(changed),
    )
    made = outbox.event_params(envelope(kind, "events", data))
    return {f"{prefix}_type": made["event_type"], f"{prefix}_envelope": made["event_envelope"]}


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("event")
    return row


def _event(row: Row) -> Event:
    return Event.model_validate(dict(zip(_COLUMNS.split(", "), row, strict=True)))
