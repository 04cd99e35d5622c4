"""HTTP endpoints of the events service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page
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
from services.events.service import EventsService
from services.kit.http import Call, endpoint

SERVICE = web.AppKey("service", EventsService)


async def create(call: Call[CreateEvent, None]) -> Event:
    """Announce an event."""
    return await call.app[SERVICE].create(call.user, call.body, call.idempotency_key)


async def edit(call: Call[EditEvent, None]) -> Event:
    """Change one's event, unless `If-Match` names another version."""
    return await call.app[SERVICE].edit(call.user, call.id("event_id"), call.body, call.if_match)


async def cancel(call: Call[None, None]) -> Event:
    """Cancel one's event."""
    return await call.app[SERVICE].cancel(call.user, call.id("event_id"))


async def delete(call: Call[None, None]) -> None:
    """Delete one's event."""
    await call.app[SERVICE].delete(call.user, call.id("event_id"))


async def events(call: Call[None, EventsQuery]) -> Page[Event]:
    """Events, soonest first; those that have not begun unless a time is given."""
    return await call.app[SERVICE].listed(call.query)


async def event(call: Call[None, None]) -> Event:
    """An event."""
    return await call.app[SERVICE].event(call.id("event_id"))


async def answer(call: Call[AnswerInvitation, None]) -> Rsvp:
    """Answer an event, or change the answer."""
    return await call.app[SERVICE].answer(call.user, call.id("event_id"), call.body)


async def own_answer(call: Call[None, None]) -> Rsvp:
    """The caller's answer to an event."""
    return await call.app[SERVICE].answer_of(call.user, call.id("event_id"))


async def attendees(call: Call[None, AttendeesQuery]) -> Page[Attendee]:
    """Those who gave an answer to an event, in the order they did."""
    return await call.app[SERVICE].attendees(call.id("event_id"), call.query)


_EVENTS = "/api/v1/events"
_EVENT = f"{_EVENTS}/{{event_id}}"

ENDPOINTS = (
    endpoint("POST", _EVENTS, create, body=CreateEvent, returns=Event, status=201),
    endpoint("GET", _EVENTS, events, query=EventsQuery, returns=Page[Event]),
    endpoint("GET", _EVENT, event, returns=Event),
    endpoint("PATCH", _EVENT, edit, body=EditEvent, returns=Event),
    endpoint("DELETE", _EVENT, delete),
    endpoint("PUT", f"{_EVENT}/cancellation", cancel, returns=Event),
    endpoint("PUT", f"{_EVENT}/rsvp", answer, body=AnswerInvitation, returns=Rsvp),
    endpoint("GET", f"{_EVENT}/rsvp", own_answer, returns=Rsvp),
    endpoint("GET", f"{_EVENT}/attendees", attendees, query=AttendeesQuery, returns=Page[Attendee]),
)
