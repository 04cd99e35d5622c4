"""The stack: its model, how it is loaded, and its secrets."""
