"""The typed Python client of Pulse."""
