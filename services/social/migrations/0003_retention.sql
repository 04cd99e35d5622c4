-- When a deletion was heard of, so that it can be forgotten again. Shard key: post_id.
ALTER TABLE deleted_posts ADD COLUMN deleted_at timestamptz NOT NULL DEFAULT now();

CREATE INDEX deleted_posts_old ON deleted_posts (deleted_at);
