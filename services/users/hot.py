"""The hot queries of the users service."""

from __future__ import annotations

from services.kit.hot import PAGE, Hot, HotQuery, several, some

HOT = Hot(
    shard_keys={"users": "id"},
    parameters={
        "id": some("id", "users"),
        "ids": several("id", "users"),
        "login": some("username", "users", "text"),
        "prefix": "'ab'",
        "text": some("display_name", "users", "text"),
        "after": "''",
        "common": "99",
        "size": "0",
        "count": PAGE,
    },
    queries=(
        HotQuery("user_by_id", "users", "users_pkey"),
        HotQuery("users_by_ids", "users", "users_pkey"),
        HotQuery("account_by_login", "users", "users_username_key", "finds the id of a name"),
        HotQuery("account_by_id", "users", "users_pkey"),
        HotQuery("users_by_prefix", "users", "users_username_prefix", "finds people by name"),
        HotQuery("users_similar", "users", "users_trigrams", "finds people by name"),
    ),
)
