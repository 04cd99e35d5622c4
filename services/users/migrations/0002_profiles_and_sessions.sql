ALTER TABLE users
    ADD COLUMN visibility text NOT NULL DEFAULT 'public'
        CHECK (visibility IN ('public', 'private')),
    -- Counts the changes of a profile; an edit may name the one that it builds on.
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    -- Sessions begun under an earlier epoch are over, even if Redis has not forgotten them.
    ADD COLUMN session_epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN trigrams text[] NOT NULL DEFAULT '{}';

-- The three-letter parts of the words in a name, without case and accents, as pg_trgm makes them:
-- a word is padded so that its beginning counts more than its middle.
CREATE FUNCTION name_trigrams(name text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT DISTINCT substr(padded, i, 3)
    FROM regexp_split_to_table(
            lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g')),
            '[^[:alnum:]]+'
        ) AS word
    CROSS JOIN LATERAL (SELECT '  ' || word || ' ') AS p (padded)
    CROSS JOIN generate_series(1, length(padded) - 2) AS i
    WHERE word <> ''
);

-- A trigger, not a generated column, which would rewrite the table while everybody waits.
CREATE FUNCTION set_name_trigrams() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.trigrams := name_trigrams(NEW.username || ' ' || NEW.display_name);
    RETURN NEW;
END
$$;

CREATE TRIGGER name_trigrams BEFORE INSERT OR UPDATE OF username, display_name ON users
FOR EACH ROW EXECUTE FUNCTION set_name_trigrams();
