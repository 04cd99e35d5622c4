-- Shard key: a post's id. Likes and comments live with their post; a list by author is the one
-- query that asks every shard.
CREATE TABLE posts (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL,
    text text NOT NULL,
    like_count integer NOT NULL DEFAULT 0,
    comment_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    idempotency_key text,
    CONSTRAINT posts_idempotency UNIQUE (author_id, idempotency_key)
);

CREATE INDEX posts_by_author ON posts (author_id, id DESC);

CREATE TABLE likes (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (post_id, user_id)
);

CREATE TABLE comments (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    id uuid NOT NULL,
    author_id uuid NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL,
    idempotency_key text,
    PRIMARY KEY (post_id, id),
    CONSTRAINT comments_idempotency UNIQUE (post_id, author_id, idempotency_key)
);
