"""What one run is, told to each generator process over its standard input (it holds tokens)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

FIRST_SOURCE = IPv4Address("127.64.0.1")
"""Linux answers on all of 127.0.0.0/8: from here on, each user has an address of its own."""

OWN_SOURCES = IPv4Address("127.63.0.1")
"""From here on, the addresses of what the bench itself sends: log-ins and the gateway probe."""

SCENARIO_ERROR = "scenario"
"""Stands for an endpoint in failures that are the scenario's fault, not the platform's."""

LINE = "pulse-bench "
"""Stands before each line that Locust's master in a cluster prints for the bench."""

Told = Annotated[
    SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")
]
"""A secret that `repr` hides and that JSON, which is what a child process is told, shows."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def source_address(host: str, first: IPv4Address, index: int) -> str | None:
    """Return the `index`-th address to send from; None when `host` is not on loopback."""
    return str(first + index) if IPv4Address(host).is_loopback else None


class Identity(_Frozen):
    """A seeded account that is logged in."""

    id: UUID
    username: str
    token: Told


class Plan(_Frozen):
    """One generator's part of a run: every `stride`-th user, from `first` on."""

    scenario: str
    """The module that holds the class `Scenario`."""
    host: str
    """An IPv4 address."""
    port: int
    users: Annotated[int, Field(ge=1)]
    """Of the whole run."""
    rate: Annotated[float, Field(gt=0)]
    """Intended requests a second of the whole run."""
    ramp: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0)]
    duration: Annotated[float, Field(gt=0)]
    timeout: Annotated[float, Field(gt=0)] = 10.0
    """Seconds after which a request has failed."""
    seed: int
    run: str
    people: list[UUID]
    password: Told
    identities: Annotated[list[Identity], Field(min_length=1)]
    first: int = 0
    stride: int = 1

    @property
    def period(self) -> float:
        """Seconds between two requests of one user."""
        return self.users / self.rate

    @property
    def indexes(self) -> range:
        """The users of this generator."""
        return range(self.first, self.users, self.stride)

    def identity(self, index: int) -> Identity:
        """Who user `index` acts as; users beyond the seeded accounts share them in turn."""
        return self.identities[index % len(self.identities)]

    def source(self, index: int) -> str | None:
        """Return the address that user `index` sends from, None off the loopback network."""
        return source_address(self.host, FIRST_SOURCE, index)
