"""The hot queries of the events service."""

from __future__ import annotations

from services.kit.hot import PAGE, Hot, HotQuery, some

HOT = Hot(
    shard_keys={"events": "id", "rsvps": "event_id"},
    parameters={
        "id": some("id", "events"),
        "user_id": some("user_id", "rsvps"),
        "creator_id": some("creator_id", "events"),
        "starts_at": "now()",
        "after": "now()",
        "after_id": "gen_random_uuid()",
        "answer": "'yes'",
        "key": "'key'",
        "limit": PAGE,
    },
    queries=(
        HotQuery("event_by_id", "events", "events_pkey"),
        HotQuery("event_by_key", "events", "events_idempotency", "found by who repeats it"),
    ),
)
