"""The hot queries of the events service."""

from __future__ import annotations

from pulse_sdk.contract.events import EventsQuery
from services.events.store import listed
from services.kit.blocks import BETWEEN
from services.kit.hot import PAGE, Hot, HotQuery, several, some

HOT = Hot(
    shard_keys={"events": "id", "rsvps": "event_id", "blocks": "blocker_id"},
    parameters={
        "id": some("id", "events"),
        "user_id": some("user_id", "rsvps"),
        "creator_id": some("creator_id", "events"),
        "starts_at": "now()",
        "after": "now()",
        "after_id": "gen_random_uuid()",
        "answer": "'yes'",
        "others": several("creator_id", "events"),
        "key": "'key'",
        "text": "'book'",
        "limit": PAGE,
    },
    queries=(
        HotQuery("event_by_id", "events", "events_pkey"),
        HotQuery("event_by_key", "events", "events_idempotency", "found by who repeats it"),
        HotQuery("events_upcoming", "events", "events_upcoming", "the soonest of everybody"),
        HotQuery("events_by_text", "events", "events_words", "finds events by their words"),
        HotQuery("blocks_between", "blocks", "blocks_pkey"),
        HotQuery("event_rsvp_of", "rsvps", "rsvps_pkey"),
        HotQuery("event_attendees", "rsvps", "rsvps_by_answer"),
        HotQuery("event_attendees_after", "rsvps", "rsvps_by_answer"),
    ),
    built=(
        listed(EventsQuery(), None)[0],
        listed(EventsQuery(text="book"), None)[0],
        BETWEEN,
    ),
)
