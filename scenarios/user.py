"""A virtual user: who it is, when its slots are, and how it calls the platform.

Every task of a scenario makes exactly one call, so that the number of users and their period say
how many requests a second are intended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import quote
from uuid import UUID, uuid4

import gevent
from gevent.event import Event
from locust import User
from locust.exception import StopUser
from pydantic import BaseModel

from scenarios.http import Answer, Connection


class Slots(Protocol):
    """When one user sends (`time.monotonic`)."""

    @property
    def next(self) -> float:
        """The intended start of the next request."""

    def take(self) -> float:
        """Use the next slot and return its intended start."""


@dataclass(frozen=True)
class Person:
    """An account of the platform that a user acts as."""

    id: UUID
    username: str
    token: str

    def __repr__(self) -> str:
        return f"Person({self.username})"


@dataclass(frozen=True)
class Seat:
    """What tells one virtual user from the others."""

    index: int
    person: Person
    slots: Slots
    source: str | None
    """The loopback address it sends from, which makes it a client of its own at the gateway."""


@dataclass
class World:
    """What all virtual users of a process share."""

    address: tuple[str, int]
    timeout: float
    """Seconds after which a request has failed."""
    people: list[UUID]
    """Every seeded account."""
    password: str
    """The one password of all seeded accounts."""
    run: str
    """Marks what this run makes, so that names differ from those of other runs."""
    seed: int
    begin: Event
    """Set when the slots are known and the users may start."""
    closes: float = 0.0
    """When users stop sending (`time.monotonic`); known once `begin` is set."""

    def __repr__(self) -> str:
        return f"World({self.address}, run={self.run})"


class PulseUser(User):
    """The base of every scenario: one person with one connection, one call in each slot."""

    abstract = True
    world: ClassVar[World]
    seats: ClassVar[Iterator[Seat]]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        seat = next(self.seats)
        self.person = seat.person
        self.slots = seat.slots
        self.index = seat.index
        self.random = random.Random(f"{self.world.seed}:{seat.index}")  # noqa: S311
        self._connection = Connection(
            self.world.address,
            source=seat.source,
            timeout=self.world.timeout,
            headers="Accept: application/json\r\n",
        )
        self._free = 0.0  # when the answer before was there
        self._bearer = f"Authorization: Bearer {seat.person.token}\r\n"

    def on_start(self) -> None:
        """Wait for the user's first slot."""
        self.world.begin.wait()
        gevent.sleep(self.wait_time())

    def on_stop(self) -> None:
        """Leave nothing open."""
        self._connection.close()

    def wait_time(self) -> float:
        """Return the seconds until the next slot, 0 for one that is late; stop at the end."""
        now = time.monotonic()
        if max(now, self.slots.next) >= self.world.closes:
            raise StopUser
        return max(0.0, self.slots.next - now)

    def call(
        self,
        method: str,
        route: str,
        body: BaseModel | None = None,
        *,
        query: str = "",
        anonymous: bool = False,
        **ids: object,
    ) -> Answer:
        """Make the slot's request; `ids` fill the route's template, which names it in reports."""
        path = route.format_map({k: quote(str(v), safe="") for k, v in ids.items()})
        headers = "" if anonymous else self._bearer
        content = b""
        if body is not None:
            content = body.model_dump_json().encode()
            headers += "Content-Type: application/json\r\n"
        if method == "POST" and not anonymous:
            headers += f"Idempotency-Key: {uuid4()}\r\n"
        intended = self.slots.take()
        sent = time.monotonic()
        late = sent - max(intended, self._free)
        answer = self._connection.exchange(
            method, f"{path}?{query}" if query else path, headers, content
        )
        self._free = time.monotonic()
        latency = self._free - sent
        self.environment.events.request.fire(
            request_type=method,
            name=route,
            response_time=latency * 1000,
            response_length=len(answer.body),
            response=answer,
            exception=None if answer.ok else answer.failure or answer.status,
            context={"intended": intended, "sent": sent, "late": late},
        )
        return answer

    def someone(self) -> UUID:
        """Return any seeded account but the user's own."""
        while True:
            chosen = self.random.choice(self.world.people)
            if chosen != self.person.id or len(self.world.people) == 1:
                return chosen
