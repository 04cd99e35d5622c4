"""The hot queries of the social service."""

from __future__ import annotations

from services.kit.hot import NEWEST, PAGE, Hot, HotQuery, several, some

HOT = Hot(
    shard_keys={
        "follows": "follower_id",
        "author_posts": "author_id",
        "people": "user_id",
        "blocks": "blocker_id",
        "deleted_posts": "post_id",
    },
    parameters={
        "user_id": some("follower_id", "follows"),
        "follower_id": some("follower_id", "follows"),
        "followee_id": some("followee_id", "follows"),
        "caller": some("follower_id", "follows"),
        "other": some("followee_id", "follows"),
        "reader": some("follower_id", "follows"),
        "author": some("author_id", "author_posts"),
        "authors": several("followee_id", "follows"),
        "candidates": several("followee_id", "follows"),
        "before": NEWEST,
        "breadth": "50",
        "days": "30",
        "count": PAGE,
    },
    queries=(
        HotQuery("follows", "follows", "follows_pkey"),
        HotQuery("following", "follows", "follows_following"),
        HotQuery("followers", "follows", "follows_followers", "an index by the other side"),
        HotQuery(
            "followers_of_authors", "follows", "follows_followers", "an index by the other side"
        ),
        HotQuery("mutuals", "follows", "follows_following"),
        HotQuery("counts", "people", "people_pkey"),
        HotQuery("relation", "follows", "follows_pkey"),
        HotQuery("blocks", "blocks", "blocks_listed"),
        HotQuery("recommendation_candidates", "follows", "follows_following"),
        HotQuery("recommendation_strangers", "blocks", "blocks_pkey"),
        HotQuery("followed_of_authors", "follows", "follows_pkey", or_index="follows_following"),
        HotQuery("author_posts", "author_posts", "author_posts_pkey"),
        HotQuery("deleted_posts_expire", "deleted_posts", "deleted_posts_old", "of everybody"),
        HotQuery("timeline", "author_posts", "author_posts_pkey", "merges those one follows"),
    ),
)
