-- Who blocked whom, told by social's events. Shard key: blocker_id. A later change wins, in whatever
-- order the events arrive.
CREATE TABLE blocks (
    blocker_id uuid NOT NULL,
    blocked_id uuid NOT NULL,
    active boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id)
);
