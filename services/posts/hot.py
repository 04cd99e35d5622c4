"""The hot queries of the posts service."""

from __future__ import annotations

from services.kit.hot import NEWEST, PAGE, Hot, HotQuery, some

HOT = Hot(
    shard_keys={"posts": "id", "likes": "post_id", "comments": "post_id", "authors": "user_id"},
    parameters={
        "id": some("id", "posts"),
        "ids": "ARRAY(SELECT id FROM posts LIMIT 20)",
        "author_id": some("author_id", "posts"),
        "post_id": some("id", "posts"),
        "before": NEWEST,
        "key": "'key'",
        "count": PAGE,
    },
    queries=(
        HotQuery("post_by_id", "posts", "posts_pkey"),
        HotQuery("posts_by_ids", "posts", "posts_pkey"),
        HotQuery("posts_newest", "posts", "posts_pkey", "the newest of everybody"),
        HotQuery("posts_by_author", "posts", "posts_by_author", "lists by author, not by post"),
        HotQuery("post_by_key", "posts", "posts_idempotency", "a repeated request has no id yet"),
        HotQuery("comments_of_post", "comments", "comments_of_post"),
        HotQuery("comment_by_key", "comments", "comments_idempotency"),
    ),
)
