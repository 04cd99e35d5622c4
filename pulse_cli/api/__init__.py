"""What `pulse api` is made of: the stored session, the client, and how answers are shown."""
