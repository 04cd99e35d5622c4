-- Fires the trigger for the accounts made before it.
UPDATE users SET display_name = display_name WHERE trigrams = '{}';

CREATE INDEX users_trigrams ON users USING gin (trigrams);

-- Usernames are ASCII; byte order serves prefixes whatever the database's locale.
CREATE INDEX users_username_prefix ON users (username COLLATE "C");
