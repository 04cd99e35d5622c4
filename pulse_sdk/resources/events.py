"""Events that people attend."""

from __future__ import annotations

from datetime import datetime
from types import NoneType

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page
from pulse_sdk.contract.events import (
    Answer,
    AnswerInvitation,
    Attendee,
    AttendeesQuery,
    CreateEvent,
    EditEvent,
    Event,
    EventsQuery,
    GivenAnswer,
    Rsvp,
)
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Events(Resource[ClientT_co]):
    """Events that people attend."""

    @endpoint
    def create(
        self,
        title: str,
        *,
        starts_at: datetime,
        description: str = "",
        location: str = "",
        position: tuple[float, float] | None = None,
        capacity: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Event]:
        """Announce an event. `starts_at` has a UTC offset; `capacity` limits the answers `yes`.

        `position` is latitude and longitude in degrees (WGS 84).
        """
        return Call(
            "POST",
            ("events",),
            Event,
            body=CreateEvent(
                title=title,
                description=description,
                location=location,
                latitude=position[0] if position else None,
                longitude=position[1] if position else None,
                starts_at=starts_at,
                capacity=capacity,
            ),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def list(
        self,
        *,
        starts_after: datetime | None = None,
        starts_before: datetime | None = None,
        text: str | None = None,
        place: str | None = None,
        box: tuple[float, float, float, float] | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Call[Page[Event]]:
        """Events that are not cancelled, soonest first; upcoming ones unless a time is given.

        `text` searches title, description and location, `place` the location alone; `box` is
        south, west, north and east in degrees.
        """
        south, west, north, east = box or (None, None, None, None)
        query = EventsQuery(
            starts_after=starts_after,
            starts_before=starts_before,
            text=text,
            place=place,
            south=south,
            west=west,
            north=north,
            east=east,
            limit=limit,
            cursor=cursor,
        )
        return Call("GET", ("events",), Page[Event], query_of(query))

    @endpoint
    def get(self, event_id: Id) -> Call[Event]:
        """One event."""
        return Call("GET", ("events", event_id), Event)

    @endpoint
    def edit(self, event_id: Id, changes: EditEvent, *, version: int | None = None) -> Call[Event]:
        """Change what `changes` holds of one's event; those who answered are told.

        With the `version` that was read, nothing is changed when it has changed since.
        """
        return Call("PATCH", ("events", event_id), Event, body=changes, version=version)

    @endpoint
    def cancel(self, event_id: Id) -> Call[Event]:
        """Cancel one's event for good; it can still be read."""
        return Call("PUT", ("events", event_id, "cancellation"), Event)

    @endpoint
    def delete(self, event_id: Id) -> Call[None]:
        """Delete one's event and the answers to it."""
        return Call("DELETE", ("events", event_id), NoneType)

    @endpoint
    def rsvp(self, event_id: Id, answer: Answer) -> Call[Rsvp]:
        """Answer `yes`, `maybe` or `no`; the last answer counts. A full event makes one wait."""
        return Call("PUT", ("events", event_id, "rsvp"), Rsvp, body=AnswerInvitation(answer=answer))

    @endpoint
    def own_rsvp(self, event_id: Id) -> Call[Rsvp]:
        """The caller's answer."""
        return Call("GET", ("events", event_id, "rsvp"), Rsvp)

    @listing
    def attendees(
        self,
        event_id: Id,
        answer: GivenAnswer = "yes",
        *,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Call[Page[Attendee]]:
        """Those who gave an answer, in the order they did."""
        query = AttendeesQuery(answer=answer, limit=limit, cursor=cursor)
        return Call("GET", ("events", event_id, "attendees"), Page[Attendee], query_of(query))
