-- What the lists of 0002 are read from; apart from it, since these take their time on large tables.
UPDATE posts SET engaged = true WHERE like_count > 0 OR comment_count > 0;

CREATE INDEX posts_engaged ON posts (id DESC) WHERE engaged;
CREATE INDEX comments_of_post ON comments (post_id, id DESC) WHERE parent_id IS NULL;
CREATE INDEX comments_replies ON comments (post_id, parent_id, id DESC)
    WHERE parent_id IS NOT NULL;
CREATE INDEX likes_by_time ON likes (post_id, created_at DESC, user_id DESC);
