-- Shard key: user_id; the primary key lists a person's notifications, newest first.
CREATE TABLE notifications (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    kind text NOT NULL,
    actor_id uuid,
    subject jsonb NOT NULL,
    read boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);

-- A domain event may arrive twice; it tells a person once.
CREATE UNIQUE INDEX notifications_event ON notifications (user_id, event_id);

-- Counts what is unread without reading what is read.
CREATE INDEX notifications_unread ON notifications (user_id) WHERE NOT read;
