-- Two people who block one another at once, or unfollow meanwhile, do not wait for each other in a
-- circle: all that a block deletes is locked by one statement, before the counts of people are.
CREATE OR REPLACE FUNCTION end_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once before the people are locked, as an unfollow does it in that order too, and once after,
    -- for a follow that was made meanwhile.
    FOR turn IN 1..2 LOOP
        DELETE FROM follows
        WHERE (follower_id = NEW.blocker_id AND followee_id = NEW.blocked_id)
            OR (follower_id = NEW.blocked_id AND followee_id = NEW.blocker_id);
        IF turn = 1 THEN
            INSERT INTO people AS known (user_id)
            VALUES (least(NEW.blocker_id, NEW.blocked_id)),
                (greatest(NEW.blocker_id, NEW.blocked_id))
            ON CONFLICT (user_id) DO UPDATE SET followers = known.followers;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
