"""A day on the whole platform: all six services, mostly reading.

The weights are parts of 200. There is no published mix that covers all of this, so each weight
states the habit it stands for; reads are three quarters of all, as people look more than they act.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from locust import task

from pulse_sdk.contract.events import AnswerInvitation, CreateEvent
from pulse_sdk.contract.messaging import OpenConversation, SendMessage
from pulse_sdk.contract.posts import CreateComment, CreatePost
from pulse_sdk.contract.users import Login, Register
from scenarios.http import Answer
from scenarios.text import sentence
from scenarios.user import PulseUser


class Scenario(PulseUser):
    """Someone who looks around, reacts to what it sees, and talks to friends."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._posts: list[str] = []
        self._events: list[str] = []
        self._conversations: list[str] = []
        self._registered = 0

    @task(60)  # the first thing on the screen, and what one returns to
    def feed(self) -> None:
        """Read the home feed."""
        self._posts = _ids(self.call("GET", "/api/v1/feed", query="limit=20")) or self._posts

    @task(28)  # the badge is asked for with nearly every second screen
    def unread(self) -> None:
        """Ask how many notifications are unread."""
        self.call("GET", "/api/v1/notifications/unread")

    @task(8)  # opened when the badge is above zero
    def notifications(self) -> None:
        """List the notifications."""
        self.call("GET", "/api/v1/notifications", query="limit=20")

    @task(16)  # who is this? a look at a profile goes with a look at its posts
    def profile(self) -> None:
        """Read a profile."""
        self.call("GET", "/api/v1/users/{user_id}", user_id=self.someone())

    @task(16)
    def posts_of_someone(self) -> None:
        """Read somebody's posts."""
        posts = self.call("GET", "/api/v1/posts", query=f"author_id={self.someone()}&limit=20")
        self._posts = _ids(posts) or self._posts

    @task(12)  # events are looked through a few times a day
    def events(self) -> None:
        """List the coming events."""
        self._events = _ids(self.call("GET", "/api/v1/events", query="limit=20")) or self._events

    @task(10)  # reading goes before answering
    def messages(self) -> None:
        """Read a conversation."""
        if not self._conversations:
            return self._open_conversation()
        self.call(
            "GET",
            "/api/v1/conversations/{conversation_id}/messages",
            query="limit=20",
            conversation_id=self.random.choice(self._conversations),
        )

    @task(16)  # the cheapest reaction, twice as frequent as a post
    def like(self) -> None:
        """Like a post that was seen."""
        if not self._posts:
            return self.feed()
        post_id = self.random.choice(self._posts)
        self.call("PUT", "/api/v1/posts/{post_id}/like", post_id=post_id)

    @task(14)  # conversations go to and fro, so nearly as many as likes
    def message(self) -> None:
        """Send a message."""
        if not self._conversations:
            return self._open_conversation()
        self.call(
            "POST",
            "/api/v1/conversations/{conversation_id}/messages",
            SendMessage(text=sentence(self.random)),
            conversation_id=self.random.choice(self._conversations),
        )

    @task(8)  # one screen in 25 leads to a post
    def post(self) -> None:
        """Write a post."""
        self.call("POST", "/api/v1/posts", CreatePost(text=sentence(self.random)))

    @task(4)  # half as many as posts
    def comment(self) -> None:
        """Comment on a post that was seen."""
        if not self._posts:
            return self.feed()
        self.call(
            "POST",
            "/api/v1/posts/{post_id}/comments",
            CreateComment(text=sentence(self.random)),
            post_id=self.random.choice(self._posts),
        )

    @task(3)  # rare: a graph grows far more slowly than what is written in it
    def follow(self) -> None:
        """Follow someone."""
        self.call("PUT", "/api/v1/social/following/{user_id}", user_id=self.someone())

    @task(2)
    def answer(self) -> None:
        """Answer an event that was seen."""
        if not self._events:
            return self.events()
        self.call(
            "PUT",
            "/api/v1/events/{event_id}/rsvp",
            AnswerInvitation(answer=self.random.choice(("yes", "maybe", "no"))),
            event_id=self.random.choice(self._events),
        )

    @task(1)  # one organiser among many guests
    def event(self) -> None:
        """Announce an event."""
        starts = datetime.now(UTC) + timedelta(hours=self.random.randint(1, 1000))
        self.call(
            "POST",
            "/api/v1/events",
            CreateEvent(title=sentence(self.random)[:120], starts_at=starts, location="Here"),
        )

    @task(1)  # tokens live for weeks; a log-in costs 30 ms of CPU, as hashing a password must
    def login(self) -> None:
        """Log in once more."""
        body = Login(login=self.person.username, password=self.world.password)
        self.call("POST", "/api/v1/auth/login", body, anonymous=True)

    @task(1)  # as many newcomers as log-ins: a platform that grows
    def register(self) -> None:
        """Open an account that nobody has."""
        self._registered += 1
        name = f"b{self.world.run}_{self.index}_{self._registered}"
        body = Register(
            email=f"{name}@bench.example",
            username=name,
            password=self.world.password,
            display_name="Somebody new",
        )
        self.call("POST", "/api/v1/auth/register", body, anonymous=True)

    def _open_conversation(self) -> None:
        body = OpenConversation(member_ids=[self.someone()])
        opened = self.call("POST", "/api/v1/conversations", body)
        if opened.ok:
            self._conversations.append(str(opened.json()["id"]))


def _ids(page: Answer) -> list[str]:
    return [str(item["id"]) for item in page.json()["items"]] if page.ok else []
