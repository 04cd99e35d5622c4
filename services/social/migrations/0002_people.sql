-- How many follow each person and how many they follow, exact: kept by the triggers below, with
-- every follow that begins or ends, however it does. Shard key: user_id.
CREATE TABLE people (
    user_id uuid PRIMARY KEY,
    followers bigint NOT NULL DEFAULT 0,
    following bigint NOT NULL DEFAULT 0,
    -- How posts get into feeds: 0, pushed to followers' timelines; 2, merged when feeds are read;
    -- 1, between the two: timelines that are built from now on merge, those built before may not.
    merging smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

CREATE INDEX people_merging ON people (user_id) WHERE merging > 0;

-- Who wants nothing to do with whom. Shard key: blocker_id. `id` (UUIDv7) orders the list.
CREATE TABLE blocks (
    blocker_id uuid NOT NULL,
    blocked_id uuid NOT NULL,
    id uuid NOT NULL,
    blocked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (blocker_id, blocked_id),
    CONSTRAINT blocks_others CHECK (blocker_id <> blocked_id)
);

CREATE INDEX blocks_listed ON blocks (blocker_id, id DESC);

-- Posts that were deleted, so that a post.created that is handled late brings none of them back.
CREATE TABLE deleted_posts (post_id uuid PRIMARY KEY);

-- Counting locks the rows of both people, in the order of their ids, until the transaction ends;
-- blocking locks them as well. So of a follow and a block that cross, the later one sees the other.
CREATE FUNCTION count_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    INSERT INTO people AS known (user_id, followers, following)
    SELECT user_id, step * sum(followers), step * sum(following) FROM (
        SELECT followee_id, 1, 0 FROM changed UNION ALL SELECT follower_id, 0, 1 FROM changed
    ) AS sides (user_id, followers, following)
    GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET
        followers = known.followers + excluded.followers,
        following = known.following + excluded.following;
    IF TG_OP = 'INSERT' AND (
        EXISTS (SELECT FROM changed JOIN blocks
            ON blocker_id = follower_id AND blocked_id = followee_id)
        OR EXISTS (SELECT FROM changed JOIN blocks
            ON blocker_id = followee_id AND blocked_id = follower_id)
    ) THEN
        RAISE EXCEPTION 'one of the two blocks the other'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'follows_not_blocked';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION end_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once before the people are locked, as an unfollow does it in that order too, and once after,
    -- for a follow that was made meanwhile.
    FOR turn IN 1..2 LOOP
        DELETE FROM follows WHERE follower_id = NEW.blocker_id AND followee_id = NEW.blocked_id;
        DELETE FROM follows WHERE follower_id = NEW.blocked_id AND followee_id = NEW.blocker_id;
        IF turn = 1 THEN
            INSERT INTO people AS known (user_id)
            VALUES (least(NEW.blocker_id, NEW.blocked_id)),
                (greatest(NEW.blocker_id, NEW.blocked_id))
            ON CONFLICT (user_id) DO UPDATE SET followers = known.followers;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

LOCK TABLE follows IN SHARE ROW EXCLUSIVE MODE;  -- nothing is followed uncounted

INSERT INTO people (user_id, followers, following)
SELECT user_id, sum(followers), sum(following) FROM (
    SELECT followee_id, 1, 0 FROM follows UNION ALL SELECT follower_id, 0, 1 FROM follows
) AS sides (user_id, followers, following)
GROUP BY user_id;

CREATE TRIGGER follows_begun AFTER INSERT ON follows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_follows();
CREATE TRIGGER follows_ended AFTER DELETE ON follows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_follows();
CREATE TRIGGER blocks_begun AFTER INSERT ON blocks
    FOR EACH ROW EXECUTE FUNCTION end_follows();
