"""Posts, their likes and comments."""
