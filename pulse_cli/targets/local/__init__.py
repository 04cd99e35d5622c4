"""A stack as processes of this machine, under Supervisor."""
