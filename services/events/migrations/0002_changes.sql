-- Events may be edited, cancelled and found; who comes late waits for a place.
ALTER TABLE events
    ADD COLUMN latitude double precision,
    ADD COLUMN longitude double precision,
    ADD COLUMN waiting integer NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN reminded_at timestamptz,
    -- `simple`: people write in any language.
    ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS (
        to_tsvector('simple', title || ' ' || location || ' ' || description)
    ) STORED,
    ADD COLUMN place_words tsvector NOT NULL GENERATED ALWAYS AS (
        to_tsvector('simple', location)
    ) STORED;

CREATE INDEX events_words ON events USING gin (words);
CREATE INDEX events_place_words ON events USING gin (place_words);
CREATE INDEX events_position ON events USING gist (point(longitude, latitude))
    WHERE longitude IS NOT NULL;

-- What people are still to be reminded of, soonest first.
CREATE INDEX events_reminders ON events (starts_at)
    WHERE reminded_at IS NULL AND cancelled_at IS NULL;

-- `waiting` is a `yes` that had no place; the line is kept in the order of updated_at.
ALTER TABLE rsvps
    DROP CONSTRAINT rsvps_answer_check,
    ADD CONSTRAINT rsvps_answer_check CHECK (answer IN ('yes', 'maybe', 'no', 'waiting'))
        NOT VALID;

-- Lists who answered what in the order of their answers, and finds the first who waits.
CREATE INDEX rsvps_by_answer ON rsvps (event_id, answer, updated_at, user_id);
