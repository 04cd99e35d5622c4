"""Events of the fake, and answers to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from pulse_sdk.contract.common import Page
from pulse_sdk.contract.events import (
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
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._world import Given, World, about_event, moment

_FARTHEST = timedelta(days=36_525)


def create(world: World, got: Received[CreateEvent, None]) -> Event:
    """Announce an event."""
    new = got.body
    _in_the_future(world, new)
    key = ("event", got.caller, got.key)
    event = world.events.get(world.remembered(*key) or UUID(int=0))
    if event is not None:
        made = CreateEvent.model_validate(event.model_dump(include={*CreateEvent.model_fields}))
        if event.version == 1 and new != made:
            detail = "This Idempotency-Key was used for another event."
            raise Refusal.conflict("idempotency_key_reused", detail)
        return event
    event = Event(
        id=world.new_id(),
        creator_id=got.caller,
        attending=0,
        created_at=world.now(),
        **new.model_dump(),
    )
    world.events[event.id] = event
    world.remember(event.id, *key)
    followers = [tie.by for tie in world.follows.values() if tie.of == got.caller]
    world.notify(followers, "event", got.caller, {"event_id": event.id})
    return event


def events(world: World, got: Received[None, EventsQuery]) -> Page[Event]:
    """Events that are not cancelled, soonest first."""
    found = [e for e in world.events.values() if _wanted(e, got.query, world)]
    return page(found, got.query, lambda e: f"{moment(e.starts_at)} {e.id}", newest_first=False)


def event(world: World, got: Received[object, object]) -> Event:
    """An event."""
    found = world.events.get(got.id("event_id"))
    if found is None:
        raise Refusal.not_found("event")
    return found


def edit(world: World, got: Received[EditEvent, None]) -> Event:
    """Change one's event."""
    _in_the_future(world, got.body)
    old = _own(world, got)
    if old.cancelled_at is not None:
        raise Refusal.conflict("event_cancelled", "The event is cancelled.")
    got.check_version("event", old.version)
    given = {name: getattr(got.body, name) for name in got.body.model_fields_set}
    changes = {name: value for name, value in given.items() if value != getattr(old, name)}
    if not changes:
        return old
    edited = old.model_copy(update={**changes, "version": old.version + 1})
    if edited.capacity is not None and edited.capacity < edited.attending:
        detail = "More people attend than that; a place is not taken from anybody."
        raise Refusal.conflict("capacity_taken", detail)
    world.events[old.id] = edited
    if changes.keys() != {"capacity"}:
        about = {**about_event(edited), "changed": sorted(changes)}
        world.notify(_involved(world, edited), "event_updated", edited.creator_id, about)
    places = len(_line(world, edited.id))
    if edited.capacity is not None:
        places = edited.capacity - edited.attending
    _let_in(world, edited, places)
    return _counted(world, edited)


def cancel(world: World, got: Received[None, None]) -> Event:
    """Cancel one's event for good."""
    old = _own(world, got)
    if old.cancelled_at is not None:
        return old
    change = {"cancelled_at": world.now(), "version": old.version + 1}
    world.events[old.id] = cancelled = old.model_copy(update=change)
    _tell_of_the_end(world, cancelled)
    return cancelled


def delete(world: World, got: Received[None, None]) -> None:
    """Delete one's event and the answers to it."""
    old = _own(world, got)
    if old.cancelled_at is None and old.starts_at > world.now():
        _tell_of_the_end(world, old)
    del world.events[old.id]
    world.answers.pop(old.id, None)


def answer(world: World, got: Received[AnswerInvitation, None]) -> Rsvp:
    """Answer an event, or change the answer."""
    found = event(world, got)
    if got.body.answer != "no" and world.blocked(got.caller, [found.creator_id]):
        raise Refusal(403, "blocked", "One of you has blocked the other.")
    if found.cancelled_at is not None:
        raise Refusal.conflict("event_cancelled", "The event is cancelled.")
    answers = world.answers[found.id]
    old = answers.get(got.caller)
    given: GivenAnswer = got.body.answer
    full = found.capacity is not None and found.attending >= found.capacity
    if given == "yes" and full and (old is None or old.answer != "yes"):
        given = "waiting"
    if old is None or old.answer != given:
        answers[got.caller] = Given(given, world.now())
        about = {"event_id": found.id, "answer": given}
        world.notify([found.creator_id], "rsvp", got.caller, about)
        if old is not None and old.answer == "yes":
            _let_in(world, found, 1, but=got.caller)
        _counted(world, found)
    return _rsvp(world, found.id, got.caller)


def own_answer(world: World, got: Received[None, None]) -> Rsvp:
    """The caller's answer."""
    event_id = got.id("event_id")
    if got.caller not in world.answers[event_id]:
        raise Refusal.not_found("rsvp")
    return _rsvp(world, event_id, got.caller)


def attendees(world: World, got: Received[None, AttendeesQuery]) -> Page[Attendee]:
    """Those who gave an answer, in the order they did."""
    found = [
        Attendee(user_id=user_id, answer=given.answer, updated_at=given.updated_at)
        for user_id, given in world.answers[event(world, got).id].items()
        if given.answer == got.query.answer
    ]

    def key(one: Attendee) -> str:
        return f"{moment(one.updated_at)} {one.user_id}"

    return page(found, got.query, key, newest_first=False)


def _own(world: World, got: Received[object, object]) -> Event:
    found = event(world, got)
    if found.creator_id != got.caller:
        raise Refusal.forbidden("not_creator", "Only who announced it may do this.")
    return found


def _in_the_future(world: World, wanted: CreateEvent | EditEvent) -> None:
    now, at = world.now(), wanted.starts_at
    if at is not None and not now < at < now + _FARTHEST:
        message = "must be in the future, at most a hundred years ahead"
        raise Refusal.of_field("starts_at", message)


def _wanted(event: Event, query: EventsQuery, world: World) -> bool:
    """Whether a list shows an event. Of a text's syntax the fake knows words and `-words`."""
    since, until = query.starts_after or world.now(), query.starts_before
    if event.cancelled_at is not None or event.starts_at <= since:
        return False
    if until is not None and event.starts_at >= until:
        return False
    said = _words(f"{event.title} {event.description} {event.location}")
    for word in (query.text or "").split():
        if (_words(word) <= said) == word.startswith("-"):
            return False
    return _words(query.place or "") <= _words(event.location) and _inside(event, query)


def _inside(event: Event, query: EventsQuery) -> bool:
    if query.south is None or query.north is None or query.west is None or query.east is None:
        return True
    if event.latitude is None or event.longitude is None:
        return False
    after, before = query.west <= event.longitude, event.longitude <= query.east
    # A box whose west is east of its east crosses the date line.
    across = after and before if query.west <= query.east else after or before
    return query.south <= event.latitude <= query.north and across


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _involved(world: World, event: Event) -> Iterable[UUID]:
    """Whose plans an event is part of."""
    answers = world.answers[event.id].items()
    return [u for u, given in answers if given.answer != "no" and u != event.creator_id]


def _tell_of_the_end(world: World, event: Event) -> None:
    about = about_event(event)
    world.notify(_involved(world, event), "event_cancelled", event.creator_id, about)


def _line(world: World, event_id: UUID) -> list[UUID]:
    """Those who wait for a place, first come first."""
    waiting = {u: g for u, g in world.answers[event_id].items() if g.answer == "waiting"}
    return sorted(waiting, key=lambda user_id: (waiting[user_id].updated_at, user_id))


def _let_in(world: World, event: Event, places: int, but: UUID | None = None) -> None:
    """Give places that became free to those first in line."""
    promoted = [user_id for user_id in _line(world, event.id) if user_id != but][:places]
    for user_id in promoted:
        world.answers[event.id][user_id] = Given("yes", world.now())
    world.notify(promoted, "promoted", None, about_event(event))


def _counted(world: World, event: Event) -> Event:
    """The event with the numbers of its answers as they are now."""
    given = [one.answer for one in world.answers[event.id].values()]
    counts = {"attending": given.count("yes"), "waiting": given.count("waiting")}
    world.events[event.id] = counted = event.model_copy(update=counts)
    return counted


def _rsvp(world: World, event_id: UUID, user_id: UUID) -> Rsvp:
    given = world.answers[event_id][user_id]
    position = None
    if given.answer == "waiting":
        position = _line(world, event_id).index(user_id) + 1
    return Rsvp(
        event_id=event_id,
        user_id=user_id,
        answer=given.answer,
        position=position,
        updated_at=given.updated_at,
    )


_EVENTS = "/api/v1/events"
_EVENT = f"{_EVENTS}/{{event_id}}"

ENDPOINTS = (
    Endpoint("POST", _EVENTS, create, body=CreateEvent, status=201),
    Endpoint("GET", _EVENTS, events, query=EventsQuery),
    Endpoint("GET", _EVENT, event),
    Endpoint("PATCH", _EVENT, edit, body=EditEvent),
    Endpoint("DELETE", _EVENT, delete),
    Endpoint("PUT", f"{_EVENT}/cancellation", cancel),
    Endpoint("PUT", f"{_EVENT}/rsvp", answer, body=AnswerInvitation),
    Endpoint("GET", f"{_EVENT}/rsvp", own_answer),
    Endpoint("GET", f"{_EVENT}/attendees", attendees, query=AttendeesQuery),
)
