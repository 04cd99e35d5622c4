"""HTTP endpoints of the events service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.events import AnswerInvitation, CreateEvent, Event, Rsvp
from services.events.service import EventsService
from services.kit.http import Call, endpoint

SERVICE = web.AppKey("service", EventsService)


async def create(call: Call[CreateEvent, None]) -> Event:
    """Announce an event."""
    return await call.app[SERVICE].create(call.user, call.body, call.idempotency_key)


async def upcoming(call: Call[None, PageQuery]) -> Page[Event]:
    """Events that have not begun, soonest first."""
    return await call.app[SERVICE].upcoming(call.query)


async def event(call: Call[None, None]) -> Event:
    """An event."""
    return await call.app[SERVICE].event(call.id("event_id"))


async def answer(call: Call[AnswerInvitation, None]) -> Rsvp:
    """Answer an event, or change the answer."""
    return await call.app[SERVICE].answer(call.user, call.id("event_id"), call.body)


_EVENTS = "/api/v1/events"

ENDPOINTS = (
    endpoint("POST", _EVENTS, create, body=CreateEvent, returns=Event, status=201),
    endpoint("GET", _EVENTS, upcoming, query=PageQuery, returns=Page[Event]),
    endpoint("GET", f"{_EVENTS}/{{event_id}}", event, returns=Event),
    endpoint("PUT", f"{_EVENTS}/{{event_id}}/rsvp", answer, body=AnswerInvitation, returns=Rsvp),
)
