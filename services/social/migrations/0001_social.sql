-- Shard key of follows: follower_id, which reads feeds; the lists of followers have an index of
-- their own. `id` (UUIDv7) orders both lists by when the follow began and is their cursor.
CREATE TABLE follows (
    follower_id uuid NOT NULL,
    followee_id uuid NOT NULL,
    id uuid NOT NULL,
    followed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower_id, followee_id),
    CONSTRAINT follows_others CHECK (follower_id <> followee_id)
);

CREATE INDEX follows_following ON follows (follower_id, id DESC);
CREATE INDEX follows_followers ON follows (followee_id, id DESC) INCLUDE (follower_id);

-- Who wrote which post, kept by post.created and post.deleted: what feeds are built from.
CREATE TABLE author_posts (
    author_id uuid NOT NULL,
    post_id uuid NOT NULL,
    PRIMARY KEY (author_id, post_id)
);
