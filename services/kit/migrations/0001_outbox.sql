-- Every service's database has an outbox; see services/kit/outbox.py.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    type text NOT NULL,
    envelope text NOT NULL
);

CREATE INDEX outbox_position ON outbox (position);
