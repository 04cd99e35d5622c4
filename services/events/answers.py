"""Answers to events, and the line of those who wait for a place, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pulse_sdk.contract.domain import EventPromotedEvent, EventRsvp, EventRsvpEvent
from pulse_sdk.contract.events import Answer, Attendee, Event, GivenAnswer, Rsvp
from services.events.store import LOCK, news, tell
from services.kit.db import Database, Query
from services.kit.errors import ServiceError
from services.kit.outbox import Outbox, envelope, with_event

_POSITION = """CASE WHEN a.answer = 'waiting' THEN (
    SELECT count(*) + 1 FROM rsvps w WHERE w.event_id = %(id)s AND w.answer = 'waiting'
        AND (w.updated_at, w.user_id) < (a.updated_at, a.user_id)
) END"""

# Whoever answers holds the event's lock, so the counts are exact, the capacity holds, and the
# place that an answer frees goes to who is first in line before anybody else can take it.
# `events_capacity` and the counts' own checks would refuse what were not so.
_ANSWER = Query(
    "event_rsvp",
    f"""{LOCK}
    WITH wanted AS (
        SELECT id, CASE
            WHEN %(answer)s = 'yes' AND attending >= capacity AND NOT EXISTS (
                SELECT FROM rsvps
                WHERE event_id = %(id)s AND user_id = %(user_id)s AND answer = 'yes'
            ) THEN 'waiting' ELSE %(answer)s END AS answer
        FROM events WHERE id = %(id)s AND cancelled_at IS NULL
    ), answered AS (
        INSERT INTO rsvps AS r (event_id, user_id, answer, updated_at)
        SELECT id, %(user_id)s, answer, clock_timestamp() FROM wanted
        ON CONFLICT (event_id, user_id) DO UPDATE
            SET previous = r.answer, answer = excluded.answer, updated_at = CASE
                WHEN r.answer = excluded.answer THEN r.updated_at ELSE excluded.updated_at END
        RETURNING user_id, answer, previous, updated_at
    ), promoted AS (
        UPDATE rsvps SET previous = answer, answer = 'yes', updated_at = clock_timestamp()
        WHERE EXISTS (SELECT FROM answered WHERE previous = 'yes' AND answer <> 'yes')
            AND event_id = %(id)s AND user_id = (
                SELECT user_id FROM rsvps
                WHERE event_id = %(id)s AND answer = 'waiting' AND user_id <> %(user_id)s
                ORDER BY updated_at, user_id LIMIT 1
            )
        RETURNING user_id
    ), counted AS (
        UPDATE events SET
            attending = attending + (answer = 'yes')::integer
                - (previous IS NOT DISTINCT FROM 'yes')::integer + (SELECT count(*) FROM promoted),
            waiting = waiting + (answer = 'waiting')::integer
                - (previous IS NOT DISTINCT FROM 'waiting')::integer
                - (SELECT count(*) FROM promoted)
        FROM answered WHERE id = %(id)s AND previous IS DISTINCT FROM answer
    ), event AS (
        INSERT INTO outbox (id, type, envelope)
        SELECT %(event_id)s, %(event_type)s, jsonb_set(
            %(event_envelope)s::jsonb || jsonb_build_object('time', clock_timestamp()),
            '{{data,answer}}', to_jsonb(answer)
        )::text
        FROM answered WHERE previous IS DISTINCT FROM answer
    ), let_in AS ({tell("promoted", "promoted")})
    SELECT a.answer, a.updated_at, {_POSITION}
    FROM events LEFT JOIN answered AS a ON true WHERE id = %(id)s""",
)
_ANSWER_OF = Query(
    "event_rsvp_of",
    f"""SELECT a.answer, a.updated_at, {_POSITION}
    FROM rsvps AS a WHERE event_id = %(id)s AND user_id = %(user_id)s""",
)
_ATTENDEES = Query(
    "event_attendees",
    """SELECT user_id, answer, updated_at FROM rsvps
    WHERE event_id = %(id)s AND answer = %(answer)s
    ORDER BY updated_at, user_id LIMIT %(limit)s""",
)
_ATTENDEES_AFTER = Query(
    "event_attendees_after",
    """SELECT user_id, answer, updated_at FROM rsvps
    WHERE event_id = %(id)s AND answer = %(answer)s
        AND (updated_at, user_id) > (%(after)s, %(after_id)s)
    ORDER BY updated_at, user_id LIMIT %(limit)s""",
)


class AnswerStore:
    """Reads and writes answers."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def answer(self, event: Event, user_id: UUID, answer: Answer) -> Rsvp:
        """Write an answer and, when it is another than before, its `event.rsvp`.

        A `yes` that finds no place waits for one; who gives a place back lets the first in line
        have it (`event.promoted`).

        Raises:
            ServiceError: 404; 409 `event_cancelled`.
        """
        told = EventRsvp(
            event_id=event.id, creator_id=event.creator_id, user_id=user_id, answer=answer
        )
        params = {
            "id": event.id,
            "user_id": user_id,
            "answer": answer,
            **news("promoted", EventPromotedEvent, event),
        }
        row = await self._database.row(
            _ANSWER, with_event(params, envelope(EventRsvpEvent, "events", told))
        )
        if row is None:
            raise ServiceError.not_found("event")
        given, updated_at, position = row
        if given is None:
            raise ServiceError.conflict("event_cancelled", "The event is cancelled.")
        self._outbox.wake()
        return _rsvp(event.id, user_id, given, updated_at, position)

    async def answer_of(self, event_id: UUID, user_id: UUID) -> Rsvp:
        """Somebody's answer.

        Raises:
            ServiceError: 404 `rsvp_not_found`, there is none.
        """
        row = await self._database.row(_ANSWER_OF, {"id": event_id, "user_id": user_id})
        if row is None:
            raise ServiceError.not_found("rsvp")
        return _rsvp(event_id, user_id, *row)

    async def attendees(
        self,
        event_id: UUID,
        answer: GivenAnswer,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Attendee]:
        """Those who gave an answer, in the order they did."""
        params: dict[str, object] = {"id": event_id, "answer": answer, "limit": limit}
        query = _ATTENDEES
        if after is not None:
            query = _ATTENDEES_AFTER
            params["after"], params["after_id"] = after
        return [
            Attendee(user_id=user_id, answer=answer, updated_at=updated_at)
            for user_id, answer, updated_at in await self._database.read(query, params)
        ]


def _rsvp(
    event_id: UUID, user_id: UUID, answer: GivenAnswer, updated_at: datetime, position: int | None
) -> Rsvp:
    return Rsvp(
        event_id=event_id,
        user_id=user_id,
        answer=answer,
        position=position,
        updated_at=updated_at,
    )
