"""Reading and writing posts in the proportions that published work uses.

The mix is that of the DeathStarBench social network as Autothrottle (NSDI 2024) drives it, so that
numbers compare.
"""

from __future__ import annotations

from locust import task

from pulse_sdk.contract.posts import CreatePost
from scenarios.text import sentence
from scenarios.user import PulseUser


class Scenario(PulseUser):
    """A reader who sometimes writes."""

    @task(65)  # "read-home-timeline", 65 %
    def feed(self) -> None:
        """Read the first page of the home feed."""
        self.call("GET", "/api/v1/feed", query="limit=20")

    @task(15)  # "read-user-timeline", 15 %
    def posts_of_someone(self) -> None:
        """Read the first page of somebody's posts."""
        self.call("GET", "/api/v1/posts", query=f"author_id={self.someone()}&limit=20")

    @task(20)  # "compose-post", 20 %
    def post(self) -> None:
        """Write a post, which goes to every follower's feed."""
        self.call("POST", "/api/v1/posts", CreatePost(text=sentence(self.random)))
