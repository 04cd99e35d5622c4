"""The fake Pulse as tests see it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Unpack
from uuid import UUID

import httpx
from pydantic import BaseModel

from pulse_sdk import Retries
from pulse_sdk.backoff import Backoff
from pulse_sdk.client import AsyncPulse, AsyncPulseOptions, Pulse, PulseOptions
from pulse_sdk.contract.notifications import Notification
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.contract.users import Me, Register, Tokens, User
from pulse_sdk.testing import _users
from pulse_sdk.testing._changes import Changes
from pulse_sdk.testing._clients import Clients
from pulse_sdk.testing._kit import Received, refused
from pulse_sdk.testing._server import Sent, Server, checked
from pulse_sdk.testing._sockets import Sockets
from pulse_sdk.testing._world import World

_RETRIES = Retries(backoff=Backoff(first=0.001, most=0.01))
"""Of the fake's clients: what a connection that breaks has them wait is time of the test."""

PASSWORD = "correct horse battery"  # noqa: S105 - of people who do not exist
"""The password of everyone who joined."""


@dataclass(frozen=True)
class Person:
    """Somebody with an account in a fake Pulse."""

    fake: FakePulse = field(repr=False, compare=False)
    id: UUID

    @property
    def user(self) -> User:
        """Their profile as it is now."""
        return User.model_validate(self.me.model_dump())

    @property
    def me(self) -> Me:
        """Their profile as they see it themselves."""
        return self.fake._world.users[self.id]

    @property
    def username(self) -> str:
        """What they log in with."""
        return self.me.username

    @cached_property
    def pulse(self) -> Pulse:
        """A blocking client of theirs, to act as them: `ada.pulse.posts.create("Hello")`.

        The fake never blocks, so it serves in asynchronous tests as well.
        """
        return self.fake.client(self)


class FakePulse:
    """A Pulse in memory, which answers clients without a network.

        fake = FakePulse()
        ada, bot = fake.join("ada"), fake.join("bot")
        with fake.client(bot) as client:
            client.social.follow(ada.id)
        assert ada.pulse.social.followers().page().items[0].user_id == bot.id

    It keeps to the rules of the real one, which the project checks exchange by exchange. What
    happens there a moment later (a feed, a notification, an author's name) is there at once, and
    waits between attempts only move its clock. There is no limit of requests.

    Args:
        base_url: What clients are told; nothing is there.
        patience: Seconds until a wait for what does not come fails the test.
    """

    def __init__(self, base_url: str = "http://pulse.test", *, patience: float = 10.0) -> None:
        self.base_url = base_url
        self.waits: list[float] = []
        """How long clients wanted to wait between attempts, in seconds."""
        self._world = World()
        self._changes = Changes()
        self._patience = patience
        self._server = Server(self._world, self._changes)
        self._sockets = Sockets(self._world, self._server, self._changes, patience)
        self._clients = Clients(self._sockets, self._changes, patience, self._wait)

    @property
    def transport(self) -> httpx.MockTransport:
        """For an `httpx.Client` or `httpx.AsyncClient` of one's own, given as `http_client`.

        A `Pulse` over it has no WebSocket; those of `client` and `async_client` have.
        """
        return httpx.MockTransport(self._server)

    def join(self, name: str = "person", *, display_name: str | None = None) -> Person:
        """Make an account; the username is the name, or is made unique."""
        taken = {user.username for user in self._world.users.values()}
        numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
        username = next(one for one in (name, *numbered) if one.lower() not in taken)
        new = Register.model_validate(
            {
                "email": f"{username}@people.example",
                "username": username,
                "password": PASSWORD,
                "display_name": display_name or name.title(),
            }
        )
        nobody = UUID(int=0)
        with self._changes.lock:
            asked = Received(nobody, nobody, new, None, {}, httpx.Headers())
            person = Person(self, _users.register(self._world, asked).user.id)
            self._world.sessions.popitem()  # that of the account's making
        return person

    def tokens(self, person: Person) -> Tokens:
        """Log somebody in; tokens to make a client with.

        Raises:
            ValueError: They joined another fake.
        """
        if person.fake is not self:
            raise ValueError(f"{person.username} joined another fake")
        with self._changes.lock:
            return _users.log_in(self._world, person.id, None)

    def client(self, person: Person | None = None, **options: Unpack[PulseOptions]) -> Pulse:
        """A blocking client, logged in as somebody; `options` are those of `Pulse`."""
        token = self.tokens(person) if person else None
        given: PulseOptions = {
            "retries": _RETRIES,
            "http_client": httpx.Client(transport=self.transport),
            **options,
        }
        return self._clients.blocking(self.base_url, token=token, **given)

    def async_client(
        self, person: Person | None = None, **options: Unpack[AsyncPulseOptions]
    ) -> AsyncPulse:
        """An asynchronous client, logged in as somebody; `options` are those of `AsyncPulse`."""
        token = self.tokens(person) if person else None
        given: AsyncPulseOptions = {
            "retries": _RETRIES,
            "http_client": httpx.AsyncClient(transport=self.transport),
            **options,
        }
        return self._clients.asynchronous(self.base_url, token=token, **given)

    def everywhere(self) -> AbstractContextManager[None]:
        """Answer every `Pulse` and `AsyncPulse` meanwhile, whatever address it was made for.

        For programs that make their clients themselves: `with fake.everywhere(): main()`.
        """
        return self._clients.everywhere(self.transport)

    def fail_next(
        self,
        operation: str,
        *,
        status: int = 503,
        code: str = "overloaded",
        detail: str = "This failure was scripted.",
        retry_after: int | None = None,
        times: int = 1,
    ) -> None:
        """Refuse the next requests of an operation, which have no effect.

        Args:
            operation: Such as `POST /api/v1/posts` or `PUT /api/v1/posts/{post_id}/like`;
                `GET /api/v1/ws` is the WebSocket's handshake.
            retry_after: Seconds that the answer asks to wait.

        Raises:
            ValueError: There is no such operation.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        refusal = Refusal(status, code, detail, headers=headers)
        self.answer_next(operation, refused(refusal, str(self._world.new_id())), times=times)

    def answer_next(
        self, operation: str, outcome: httpx.Response | httpx.TransportError, *, times: int = 1
    ) -> None:
        """Answer the next requests of an operation so, or let their connections fail so.

        They have no effect: `httpx.ConnectError("refused")`, `httpx.Response(200, text="{")`.

        Raises:
            ValueError: There is no such operation.
        """
        self._server.script(operation, times, outcome)

    def lose_next(self, operation: str, *, times: int = 1) -> None:
        """Carry out the next requests of an operation, but lose their answers on the way.

        Raises:
            ValueError: There is no such operation.
        """
        lost = httpx.ReadTimeout("the answer was lost, as scripted")
        self._server.script(operation, times, lost, carried_out=True)

    def sent(self, operation: str | None = None, *, by: Person | None = None) -> list[Sent]:
        """The requests so far, of one operation or person alone when given, in their order.

        Raises:
            ValueError: There is no such operation.
        """
        wanted = None if operation is None else checked(operation)
        return [
            sent
            for sent in self._server.sent
            if wanted in {None, sent.operation} and (by is None or sent.by == by.id)
        ]

    def wait_for(self, operation: str, *, by: Person | None = None, times: int = 1) -> list[Sent]:
        """Block until another thread has sent this, so many times in all.

        Raises:
            AssertionError: It did not within the fake's patience.
        """
        self._changes.wait(lambda: len(self.sent(operation, by=by)) >= times, self._patience)
        return self._found(operation, by, times)

    async def wait_for_async(
        self, operation: str, *, by: Person | None = None, times: int = 1
    ) -> list[Sent]:
        """Wait until another task has sent this, so many times in all.

        Raises:
            AssertionError: It did not within the fake's patience.
        """
        await self._changes.wait_async(
            lambda: len(self.sent(operation, by=by)) >= times, self._patience
        )
        return self._found(operation, by, times)

    def _found(self, operation: str, by: Person | None, times: int) -> list[Sent]:
        found = self.sent(operation, by=by)
        if len(found) < times:
            who = f" by {by.username}" if by else ""
            wanted = "once" if times == 1 else f"{times} times"
            raise AssertionError(
                f"{operation} was sent {len(found)} times{who}, not {wanted}, "
                f"within {self._patience:g} s"
            )
        return found

    def notify(self, person: Person, notification: Notification) -> None:
        """Put a notification on somebody's list and on their connections."""
        with self._changes.lock:
            self._world.add_notification(person.id, notification)

    def send_frame(self, person: Person, frame: BaseModel | str) -> None:
        """Send a frame, or text that is none, on somebody's connections.

        Messages need none of this: send them as another person.
        """
        with self._changes.lock:
            self._sockets.tell(person.id, frame)

    def drop_connections(self, person: Person | None = None) -> None:
        """Break somebody's WebSockets, or everyone's; clients connect again."""
        self._sockets.drop(person.id if person else None)

    def advance(self, by: timedelta) -> None:
        """Let time pass: access tokens end after 15 minutes, events begin, reminders come."""
        with self._changes.lock:
            self._world.advance(by)
            self._sockets.end_expired()

    def _wait(self, seconds: float) -> None:
        if seconds:
            self.waits.append(seconds)
            self.advance(timedelta(seconds=seconds))

    def __repr__(self) -> str:
        return f"<FakePulse of {len(self._world.users)} people>"
