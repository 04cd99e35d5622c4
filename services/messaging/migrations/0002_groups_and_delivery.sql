-- A conversation of two has both in member_ids, sorted. Groups opened from here on have none there:
-- who is in a conversation is told by memberships alone.
ALTER TABLE conversations ALTER COLUMN member_ids DROP NOT NULL;
ALTER TABLE conversations
    ADD COLUMN title text,
    ADD COLUMN opened_by uuid,
    ADD COLUMN owner_id uuid,
    ADD COLUMN founder_ids uuid[],
    ADD COLUMN idempotency_key text;

CREATE UNIQUE INDEX conversations_idempotency ON conversations (opened_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- `delivered` counts the messages of others since joining, `read` how many of those were read.
ALTER TABLE memberships
    ADD COLUMN joined_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN delivered bigint NOT NULL DEFAULT 0,
    ADD COLUMN read bigint NOT NULL DEFAULT 0;

CREATE UNIQUE INDEX memberships_of_conversation ON memberships (conversation_id, user_id);

-- What had been delivered in the conversation to the sender when they sent it.
ALTER TABLE messages ADD COLUMN sender_delivered bigint NOT NULL DEFAULT 0;

-- Shard key: user_id. How many messages were delivered to a person in all. Its row is locked from
-- taking a number to the commit, so numbers become visible in their order and without gaps.
CREATE TABLE inboxes (
    user_id uuid PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 50);

-- Shard key: user_id. `ordinal` is memberships.delivered as of this message.
CREATE TABLE deliveries (
    user_id uuid NOT NULL,
    position bigint NOT NULL,
    conversation_id uuid NOT NULL,
    message_id uuid NOT NULL,
    ordinal bigint NOT NULL,
    PRIMARY KEY (user_id, position)
);

CREATE UNIQUE INDEX deliveries_of_message ON deliveries (user_id, conversation_id, message_id);

-- Shard key: blocker_id. A later change wins, in whatever order the events arrive.
CREATE TABLE blocks (
    blocker_id uuid NOT NULL,
    blocked_id uuid NOT NULL,
    active boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id)
);
