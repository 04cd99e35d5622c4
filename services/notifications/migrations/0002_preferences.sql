-- What is hidden stays as a mark that its event was dealt with; it counts as read.
ALTER TABLE notifications ADD COLUMN hidden boolean NOT NULL DEFAULT false;

-- Lists what is unread, newest first, and counts it.
CREATE INDEX notifications_unread_newest ON notifications (user_id, id) WHERE NOT read;
DROP INDEX notifications_unread;
ALTER INDEX notifications_unread_newest RENAME TO notifications_unread;

-- Shard key: user_id. Everything is wanted until it is muted.
CREATE TABLE preferences (
    user_id uuid PRIMARY KEY,
    muted_in_app text[] NOT NULL DEFAULT '{}',
    muted_push text[] NOT NULL DEFAULT '{}',
    quiet_from time,
    quiet_to time,
    time_zone text
);

-- Shard key: blocker_id. An unblocking is kept too, so that an older blocking that arrives after
-- it changes nothing.
CREATE TABLE blocks (
    blocker_id uuid NOT NULL,
    blocked_id uuid NOT NULL,
    blocked boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id)
);

-- Shard key: user_id. Devices are Web Push subscriptions.
CREATE TABLE devices (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    endpoint text NOT NULL,
    p256dh text NOT NULL,
    auth text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, id)
);

-- A browser belongs to who used it last.
CREATE UNIQUE INDEX devices_endpoint ON devices (md5(endpoint));

-- What is to be pushed; a row is taken by moving `due_at` on, and deleted when it is delivered.
CREATE TABLE pushes (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    device_id uuid NOT NULL,
    notification jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX pushes_due ON pushes (due_at);
CREATE INDEX pushes_device ON pushes (user_id, device_id);
