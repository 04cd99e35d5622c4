"""The hot queries of the posts service."""

from __future__ import annotations

from services.kit.blocks import BETWEEN
from services.kit.hot import NEWEST, PAGE, Hot, HotQuery, several, some

HOT = Hot(
    shard_keys={
        "posts": "id",
        "likes": "post_id",
        "comments": "post_id",
        "authors": "user_id",
        "blocks": "blocker_id",
    },
    parameters={
        "id": some("id", "posts"),
        "ids": several("id", "posts"),
        "author_id": some("author_id", "posts"),
        "reader_id": some("author_id", "posts"),
        "post_id": some("id", "posts"),
        "parent_id": some("parent_id", "comments"),
        "comment_id": some("id", "comments"),
        "user_id": some("user_id", "likes"),
        "liked_at": "now()",
        "written_after": "now()",
        "since": "'00000000-0000-0000-0000-000000000000'::uuid",
        "before": NEWEST,
        "others": several("author_id", "posts"),
        "key": "'key'",
        "count": PAGE,
    },
    queries=(
        HotQuery("post_by_id", "posts", "posts_pkey"),
        HotQuery("posts_by_ids", "posts", "posts_pkey"),
        HotQuery("posts_newest", "posts", "posts_pkey", "the newest of everybody"),
        HotQuery("posts_by_author", "posts", "posts_by_author", "lists by author, not by post"),
        HotQuery(
            "posts_popular", "posts", "posts_engaged", "the best of everybody, each half hour"
        ),
        HotQuery("post_by_key", "posts", "posts_idempotency", "a repeated request has no id yet"),
        HotQuery("likes_of_post", "likes", "likes_by_time"),
        HotQuery("post_liked", "likes", "likes_pkey", or_index="likes_by_time"),
        HotQuery("comments_of_post", "comments", "comments_of_post"),
        HotQuery("comment_replies", "comments", "comments_replies"),
        HotQuery("comment_by_id", "comments", "comments_pkey"),
        HotQuery("comment_by_key", "comments", "comments_idempotency"),
        HotQuery("blocks_between", "blocks", "blocks_pkey"),
        HotQuery("authors_by_ids", "authors", "authors_pkey"),
        HotQuery("authors_written", "authors", "authors_written", "what is new of everybody"),
    ),
    built=(BETWEEN,),
)
