-- Shard key: id. Members do not change, so they live in the conversation's own row, sorted.
CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    member_ids uuid[] NOT NULL CHECK (cardinality(member_ids) >= 2),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Two people have one conversation, however many of them ask for it at once.
CREATE UNIQUE INDEX conversations_of_two ON conversations (member_ids)
    WHERE cardinality(member_ids) = 2;

-- Shard key: user_id; lists a person's conversations, newest first.
CREATE TABLE memberships (
    user_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
);

-- Shard key: conversation_id; the primary key lists a conversation's messages, newest first.
CREATE TABLE messages (
    conversation_id uuid NOT NULL,
    id uuid NOT NULL,
    sender_id uuid NOT NULL,
    text text NOT NULL,
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, id)
);

CREATE UNIQUE INDEX messages_idempotency ON messages (sender_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
