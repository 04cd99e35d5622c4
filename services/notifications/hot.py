"""The hot queries of the notifications service."""

from __future__ import annotations

from services.kit.hot import NEWEST, PAGE, Hot, HotQuery, some

HOT = Hot(
    shard_keys={
        "notifications": "user_id",
        "preferences": "user_id",
        "blocks": "blocker_id",
        "devices": "user_id",
    },
    parameters={
        "user_id": some("user_id", "notifications"),
        "id": some("id", "notifications"),
        "before": NEWEST,
        "days": "90",
        "limit": PAGE,
    },
    queries=(
        HotQuery("notifications_of_user", "notifications", "notifications_pkey"),
        HotQuery("notifications_unread_of_user", "notifications", "notifications_unread"),
        HotQuery("notifications_unread", "notifications", "notifications_unread"),
        HotQuery("notifications_read_all", "notifications", "notifications_unread"),
        HotQuery(
            "notifications_expire_read", "notifications", "notifications_old_read", "of everybody"
        ),
        HotQuery(
            "notifications_expire_unread",
            "notifications",
            "notifications_old_unread",
            "of everybody",
        ),
        HotQuery("preferences_of_user", "preferences", "preferences_pkey"),
        HotQuery("devices_of_user", "devices", "devices_pkey"),
    ),
)
