"""Announcing and answering events, for tests against a running stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.connected.people import Person, all_of

EVENTS = "/api/v1/events"


def after(**time: float) -> str:
    """When so much time is over, as JSON says it."""
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def announce(creator: Person, key: str | None = None, **changes: object) -> httpx.Response:
    """Announce an event."""
    body = {"title": "Tea", "starts_at": after(hours=1), **changes}
    return await creator.http.post(
        EVENTS, json=body, headers={"Idempotency-Key": key} if key else None
    )


async def event_of(reader: Person, event_id: str) -> dict[str, Any]:
    """An event as somebody sees it."""
    answer = await reader.http.get(f"{EVENTS}/{event_id}")
    assert answer.status_code == 200
    event: dict[str, Any] = answer.json()
    return event


async def give_answer(guest: Person, event_id: str, answer: str) -> httpx.Response:
    """Answer an event."""
    return await guest.http.put(f"{EVENTS}/{event_id}/rsvp", json={"answer": answer})


async def told_of(person: Person) -> list[str]:
    """The kinds of somebody's notifications, newest first, but for answers to their events."""
    page = (await person.http.get("/api/v1/notifications")).json()
    return [item["kind"] for item in page["items"] if item["kind"] != "rsvp"]


async def attendees(reader: Person, event_id: str, answer: str, limit: int = 100) -> list[str]:
    """Who gave an answer, in the order of the list."""
    listed = await all_of(reader, f"{EVENTS}/{event_id}/attendees", limit, answer=answer)
    return [item["user_id"] for item in listed]
