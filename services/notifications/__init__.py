"""What happened that concerns a person, made from domain events."""
