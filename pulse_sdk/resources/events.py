"""Events that people attend."""

from __future__ import annotations

from datetime import datetime

from pulse_sdk._call import Call, Id, key_or_new, query_of
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.events import Answer, AnswerInvitation, CreateEvent, Event, Rsvp
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
        capacity: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Event]:
        """Announce an event. `starts_at` has a UTC offset; `capacity` limits the answers `yes`."""
        return Call(
            "POST",
            ("events",),
            Event,
            body=CreateEvent(
                title=title,
                description=description,
                location=location,
                starts_at=starts_at,
                capacity=capacity,
            ),
            idempotency_key=key_or_new(idempotency_key),
        )

    @listing
    def list(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Event]]:
        """Upcoming events, soonest first."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("events",), Page[Event], query_of(query))

    @endpoint
    def get(self, event_id: Id) -> Call[Event]:
        """One event."""
        return Call("GET", ("events", event_id), Event)

    @endpoint
    def rsvp(self, event_id: Id, answer: Answer) -> Call[Rsvp]:
        """Answer `yes`, `maybe` or `no`; the last answer counts."""
        return Call("PUT", ("events", event_id, "rsvp"), Rsvp, body=AnswerInvitation(answer=answer))
