-- Find what is past its time; what was read goes sooner than what was not.
CREATE INDEX notifications_old_read ON notifications (created_at) WHERE read;
CREATE INDEX notifications_old_unread ON notifications (created_at) WHERE NOT read;
