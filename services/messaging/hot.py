"""The hot queries of the messaging service."""

from __future__ import annotations

from services.kit.hot import NEWEST, PAGE, Hot, HotQuery, several, some

HOT = Hot(
    shard_keys={
        "conversations": "id",
        "memberships": "user_id",
        "messages": "conversation_id",
        "inboxes": "user_id",
        "deliveries": "user_id",
        "blocks": "blocker_id",
    },
    parameters={
        "user_id": some("user_id", "memberships"),
        "user_ids": several("user_id", "memberships"),
        "sender_id": some("sender_id", "messages"),
        "conversation_id": some("id", "conversations"),
        "member_ids": "ARRAY[gen_random_uuid(), gen_random_uuid()]",
        "id": some("id", "conversations"),
        "before": NEWEST,
        "after": "0",
        "behind": "'00000000-0000-0000-0000-000000000000'::uuid",
        "key": "'key'",
        "text": "'text'",
        "message_id": some("id", "messages"),
        "event_id": "gen_random_uuid()",
        "event_type": "'message.sent'",
        "event_envelope": "'{\"data\":{}}'",
        "limit": PAGE,
    },
    queries=(
        HotQuery("conversations_of_user", "memberships", "memberships_pkey"),
        HotQuery(
            "conversation_of_two", "conversations", "conversations_of_two", "found by its members"
        ),
        HotQuery("messages_of_conversation", "messages", "messages_pkey"),
        HotQuery("message_by_key", "messages", "messages_idempotency", "found by who repeats it"),
        HotQuery("conversation_audience", "memberships", "memberships_of_conversation"),
        HotQuery("message_send", "memberships", "memberships_of_conversation"),
        HotQuery("message_mark_read", "deliveries", "deliveries_of_message"),
        HotQuery("messages_unread", "memberships", "memberships_pkey"),
        HotQuery("deliveries_after", "deliveries", "deliveries_pkey"),
        HotQuery("deliveries_expire", "deliveries", "deliveries_pkey", "of everybody, in turn"),
        HotQuery("inbox_positions", "inboxes", "inboxes_pkey"),
    ),
)
