"""The scenario of the calibration: one cheap request a slot."""

from __future__ import annotations

from locust import task

from scenarios.user import PulseUser


class Scenario(PulseUser):
    """A user who only asks."""

    @task
    def ask(self) -> None:
        """Ask the trivial server."""
        self.call("GET", "/floor")
