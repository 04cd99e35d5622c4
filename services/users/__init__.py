"""Accounts, log-in, sessions and profiles."""
