"""Who plays in a behaviour, on which stage, and the record of what was said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel

from pulse_sdk import AsyncPulse, Retries
from pulse_sdk.contract.users import Tokens, User
from pulse_sdk.errors import AnswerError
from pulse_sdk.testing import FakePulse
from tests.contract.normal import Exchange, Names, normal_answer, normal_frame

T = TypeVar("T")

PASSWORD = "correct horse battery"
NOTHING = "01900000-0000-7000-8000-000000000000"
"""The id of nothing."""
_EVENTUALLY_SECONDS = 60.0
_ONCE = Retries(limit=0)


class Stage(Protocol):
    """A Pulse, real or fake."""

    def http(self, heard: Callable[[httpx.Response], Awaitable[None]]) -> httpx.AsyncClient:
        """A client for plain requests that tells of each answer."""
        ...

    def pulse(self, http: httpx.AsyncClient) -> AsyncPulse:
        """A client of the SDK over it."""
        ...


@dataclass(frozen=True)
class FakeStage:
    """The fake."""

    fake: FakePulse

    def http(self, heard: Callable[[httpx.Response], Awaitable[None]]) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.fake.base_url,
            transport=self.fake.transport,
            event_hooks={"response": [heard]},
        )

    def pulse(self, http: httpx.AsyncClient) -> AsyncPulse:
        return self.fake.async_client(http_client=http, retries=_ONCE)


@dataclass(frozen=True)
class RealStage:
    """A running stack; people come from an address of their own, for failed log-ins count."""

    url: str
    address: str

    def http(self, heard: Callable[[httpx.Response], Awaitable[None]]) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            transport=httpx.AsyncHTTPTransport(local_address=self.address),
            event_hooks={"response": [heard]},
            timeout=60,
        )

    def pulse(self, http: httpx.AsyncClient) -> AsyncPulse:
        return AsyncPulse(self.url, http_client=http, retries=_ONCE)


@dataclass(frozen=True)
class Person:
    """Somebody in a behaviour."""

    user: User
    tokens: Tokens
    pulse: AsyncPulse
    http: httpx.AsyncClient
    """For requests that the SDK would not make; it shows who asks."""


class Cast:
    """The people of one behaviour; what they exchange with the stage is recorded in order."""

    def __init__(self, stage: Stage) -> None:
        self.record: list[Exchange] = []
        self.raw: list[httpx.Response] = []
        """The answers as they came, those of the preparations included."""
        self.suffix = uuid4().hex[:10]
        self.names = Names(self.suffix)
        self._stage = stage
        self._recording = True
        self._clients: list[httpx.AsyncClient] = []

    async def join(self, *names: str) -> list[Person]:
        """People with accounts, which is not recorded: all of Pulse knows them by then."""
        self._recording = False
        people = [await self._register(name) for name in names]
        await asyncio.gather(*(self._known(person) for person in people))
        self._recording = True
        return people

    def stranger(self) -> AsyncPulse:
        """A client of nobody."""
        return self._stage.pulse(self._http())

    def username(self, name: str) -> str:
        """A username that nobody else has."""
        return f"{name}_{self.suffix}"

    async def until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
        """Ask until the answer holds, as what follows from a change may come later.

        Only the last answer is recorded.
        """
        mark, known = len(self.record), self.names.so_far()
        async with asyncio.timeout(_EVENTUALLY_SECONDS):
            while not holds(answer := await ask()):
                del self.record[mark:]
                self.names.go_back(dict(known))
                await asyncio.sleep(0.05)
        return answer

    def heard(self, frame: BaseModel) -> None:
        """Record a frame of the WebSocket."""
        self.record.append(normal_frame(frame, self.names))

    async def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.aclose()

    def _http(self) -> httpx.AsyncClient:
        client = self._stage.http(self._answered)
        self._clients.append(client)
        return client

    async def _answered(self, response: httpx.Response) -> None:
        await response.aread()
        self.raw.append(response)
        if self._recording:
            self.record.append(normal_answer(response, self.names))

    async def _register(self, name: str) -> Person:
        http = self._http()
        pulse = self._stage.pulse(http)
        made = await pulse.auth.register(
            email=f"{self.username(name)}@people.example",
            username=self.username(name),
            password=PASSWORD,
            display_name=name.title(),
        )
        self.names.know(str(made.user.id), name)
        plain = self._http()
        plain.headers["Authorization"] = f"Bearer {made.tokens.access_token.get_secret_value()}"
        return Person(made.user, made.tokens, pulse, plain)

    async def _known(self, person: Person) -> None:
        post = await person.pulse.posts.create("Does anybody know me?")
        await self.until(lambda: person.pulse.posts.get(post.id), lambda post: bool(post.author))
        await person.pulse.posts.delete(post.id)
        await self.until(person.pulse.notifications.unread, lambda count: count.unread == 1)


async def refused(call: Awaitable[object]) -> AnswerError:
    """The error that a call ends with."""
    try:
        answer = await call
    except AnswerError as error:
        return error
    raise AssertionError(f"it was not refused: {answer!r}")


def dumped(record: list[Exchange]) -> list[Any]:
    """A record as JSON reads it."""
    loaded: list[Any] = json.loads(json.dumps(record))
    return loaded
