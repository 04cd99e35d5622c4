"""Events that people attend: announcements, answers, capacity."""
