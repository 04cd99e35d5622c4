-- Shard key: id.
CREATE TABLE events (
    id uuid PRIMARY KEY,
    creator_id uuid NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    location text NOT NULL,
    starts_at timestamptz NOT NULL,
    capacity integer,
    attending integer NOT NULL DEFAULT 0 CHECK (attending >= 0),
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_capacity CHECK (attending <= capacity)
);

-- Lists what is to come, soonest first.
CREATE INDEX events_upcoming ON events (starts_at, id);

CREATE UNIQUE INDEX events_idempotency ON events (creator_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Shard key: event_id. `previous` is the answer before the last, which a change of the count of
-- `yes` answers is made from in the same statement (see store.py).
CREATE TABLE rsvps (
    event_id uuid NOT NULL,
    user_id uuid NOT NULL,
    answer text NOT NULL CHECK (answer IN ('yes', 'maybe', 'no')),
    previous text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, user_id)
);
