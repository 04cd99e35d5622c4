-- Edits, replies, and what authors are called. Safe beside running instances: what they write
-- leaves out the new columns only, and no lock is held for long.
ALTER TABLE posts
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    -- Liked or commented on at some time. Unlike the counts it changes once, so that an index on it
    -- leaves likes the cheap updates that touch no index.
    ADD COLUMN engaged boolean NOT NULL DEFAULT false;

-- No cascade from parent to reply: a deletion that met a reply it did not see must fail, since its
-- counts would be wrong, and be tried again.
ALTER TABLE comments
    ADD COLUMN parent_id uuid,
    ADD COLUMN depth smallint NOT NULL DEFAULT 0,
    ADD COLUMN reply_count integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT comments_parent FOREIGN KEY (post_id, parent_id) REFERENCES comments (post_id, id);

-- What users' events told. Shard key: the user's id.
CREATE TABLE authors (
    user_id uuid PRIMARY KEY,
    username text NOT NULL,
    display_name text NOT NULL,
    visibility text NOT NULL CHECK (visibility IN ('public', 'private')),
    -- When it was so, by the event; a later telling of an earlier state changes nothing.
    changed_at timestamptz NOT NULL,
    -- When it was written here; each instance follows what is written by it.
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX authors_written ON authors (written_at);
CREATE INDEX authors_private ON authors (user_id) WHERE visibility = 'private';
