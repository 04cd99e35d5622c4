"""Events and answers to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pulse_sdk.contract.events import EditEvent
from tests.contract.cast import NOTHING, Cast, refused
from tests.contract.notifications import told


def soon(days: float = 2) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def an_event_is_announced_changed_and_cancelled(cast: Cast) -> None:
    host, guest = await cast.join("host", "guest")
    await guest.pulse.social.follow(host.user.id)
    await told(cast, host, 2)
    event = await host.pulse.events.create(
        " Picnic ", starts_at=soon(), location="By the river", position=(52.5, 13.25)
    )
    await told(cast, guest, 2)
    await guest.pulse.events.get(event.id)
    await guest.pulse.events.rsvp(event.id, "maybe")
    await told(cast, host, 3)
    change = EditEvent(title="Big picnic", latitude=None, longitude=None)
    edited = await host.pulse.events.edit(event.id, change, version=event.version)
    await told(cast, guest, 3)
    await host.pulse.events.edit(event.id, EditEvent(title="Big picnic"), version=edited.version)
    await refused(host.pulse.events.edit(event.id, change, version=event.version))
    await refused(guest.pulse.events.edit(event.id, change))
    await refused(guest.pulse.events.cancel(event.id))
    await refused(guest.pulse.events.delete(event.id))
    await host.pulse.events.cancel(event.id)
    await told(cast, guest, 4)
    await host.pulse.events.cancel(event.id)
    await refused(host.pulse.events.edit(event.id, change))
    await refused(guest.pulse.events.rsvp(event.id, "yes"))
    await host.pulse.events.delete(event.id)
    for call in (
        host.pulse.events.delete(event.id),
        guest.pulse.events.get(event.id),
        guest.pulse.events.cancel(NOTHING),
        guest.pulse.events.rsvp(event.id, "yes"),
        guest.pulse.events.own_rsvp(event.id),
        guest.pulse.events.attendees(event.id).page(),
        host.pulse.events.create("Yesterday", starts_at=soon(-1)),
        host.pulse.events.create("Too far", starts_at=soon(40_000)),
    ):
        await refused(call)


async def who_answered_hears_that_an_event_is_gone(cast: Cast) -> None:
    host, guest = await cast.join("host", "guest")
    event = await host.pulse.events.create("Picnic", starts_at=soon())
    await guest.pulse.events.rsvp(event.id, "yes")
    await told(cast, host, 2)
    await host.pulse.events.delete(event.id)
    await told(cast, guest, 2)
    await refused(guest.pulse.events.get(event.id))


async def a_key_announces_one_event(cast: Cast) -> None:
    [host] = await cast.join("host")
    starts_at = soon()
    create = host.pulse.events.create
    event = await create("Reading", starts_at=starts_at, idempotency_key="one")
    await create("Reading", starts_at=starts_at, idempotency_key="one")
    await refused(create("Dancing", starts_at=starts_at, idempotency_key="one"))
    await host.pulse.events.edit(event.id, EditEvent(title="Reading aloud"))
    await create("Reading", starts_at=starts_at, idempotency_key="one")


async def a_full_event_has_a_line(cast: Cast) -> None:
    host, ada, ben, cleo = await cast.join("host", "ada", "ben", "cleo")
    event = await host.pulse.events.create("Dinner", starts_at=soon(), capacity=1)
    await refused(ada.pulse.events.own_rsvp(event.id))
    for person in (ada, ada, ben, cleo):
        await person.pulse.events.rsvp(event.id, "yes")
    await cleo.pulse.events.own_rsvp(event.id)
    await host.pulse.events.get(event.id)
    line = await host.pulse.events.attendees(event.id, "waiting", limit=1).page()
    await host.pulse.events.attendees(event.id, "waiting", limit=1, cursor=line.next_cursor).page()
    await ada.pulse.events.rsvp(event.id, "no")
    await ben.pulse.events.own_rsvp(event.id)
    await told(cast, ben, 2)
    await cleo.pulse.events.own_rsvp(event.id)
    await host.pulse.events.edit(event.id, EditEvent(capacity=2))
    await told(cast, cleo, 2)
    await refused(host.pulse.events.edit(event.id, EditEvent(capacity=1)))
    await host.pulse.events.edit(event.id, EditEvent(capacity=None))
    await host.pulse.events.attendees(event.id).page()
    await host.pulse.events.attendees(event.id, "no").page()
    await host.pulse.events.get(event.id)


async def events_are_found_soonest_first(cast: Cast) -> None:
    [host] = await cast.join("host")
    create = host.pulse.events.create
    word = f"{cast.suffix}feast"
    await create(f"Late {word}", starts_at=soon(9), location="The Old Mill")
    await create(f"Early {word}", starts_at=soon(3), position=(10.0, 179.5))
    gone = await create(f"No {word}", starts_at=soon(5))
    await host.pulse.events.cancel(gone.id)
    found = host.pulse.events.list
    await found(text=word, limit=100).page()
    await found(text=f"{word} -early", limit=100).page()
    await found(text=word, place="old MILL", limit=100).page()
    await found(text=word, box=(0.0, 170.0, 20.0, -170.0), limit=100).page()
    await found(text=word, box=(0.0, -170.0, 20.0, 170.0), limit=100).page()
    await found(text=word, starts_after=soon(4), limit=100).page()
    await found(text=word, starts_before=soon(4), limit=100).page()
    await refused(found(cursor="nonsense").page())
    await host.http.get("/api/v1/events", params={"south": "1"})


async def who_is_blocked_does_not_attend(cast: Cast) -> None:
    host, ada = await cast.join("host", "ada")
    event = await host.pulse.events.create("Dinner", starts_at=soon())
    await ada.pulse.events.rsvp(event.id, "maybe")
    await host.pulse.social.block(ada.user.id)

    async def answers() -> int:
        path = f"/api/v1/events/{event.id}/rsvp"
        return (await ada.http.put(path, json={"answer": "maybe"})).status_code

    await cast.until(answers, lambda status: status == 403)
    await ada.pulse.events.rsvp(event.id, "no")
    await refused(ada.pulse.events.rsvp(event.id, "yes"))


BEHAVIOURS = (
    an_event_is_announced_changed_and_cancelled,
    who_answered_hears_that_an_event_is_gone,
    a_key_announces_one_event,
    a_full_event_has_a_line,
    who_is_blocked_does_not_attend,
    events_are_found_soonest_first,
)
