-- The key first: an author's posts are listed from posts_by_author, which the planner passed over for
-- this index where an author has few posts. The name stays, by which running instances refer to it.
CREATE UNIQUE INDEX posts_by_key ON posts (idempotency_key, author_id);
ALTER TABLE posts
    DROP CONSTRAINT posts_idempotency,
    ADD CONSTRAINT posts_idempotency UNIQUE USING INDEX posts_by_key;
