"""Who follows whom, and the feed."""
