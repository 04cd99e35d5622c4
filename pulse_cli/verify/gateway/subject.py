"""The gateway that is looked at: where it is, what it was told, and who asks it."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import jwt

from pulse_cli.stack.gateway import Gateway
from pulse_cli.stack.model import Stack, Tokens
from pulse_cli.stack.secrets import OPERATOR, Secrets

NOBODY = str(UUID(int=0))
"""Subject and session of the tokens: no user and no session has the nil UUID."""

OWN_NETWORK = IPv4Address("127.62.0.0")
"""From here on, the addresses that a gateway on loopback is asked from."""

BENCHMARKS = IPv4Network("198.18.0.0/15")
"""Addresses that are nobody's (RFC 2544), for clients that a proxy tells of."""

MOST_CLIENTS = 1 << 16

TOKEN_SECONDS = 300
TIMEOUT_SECONDS = 10.0

Token = Literal["good", "expired", "endless", "forged", "foreign", "misdirected", "unsigned"]


@dataclass(frozen=True)
class Subject:
    """A gateway on its port, as a client of the API meets it."""

    host: str
    port: int
    admin_port: int | None
    """Where its metrics are on the same host; None when they are out of reach."""
    gateway: Gateway
    tokens: Tokens
    token_key: str = field(repr=False)
    direct: bool
    """Whether it sees the addresses that it is asked from, with nothing in between."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def token(self, kind: Token = "good") -> str:
        """Return a token of nobody, good or bad in one way."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.tokens.issuer,
            "aud": self.tokens.audience,
            "sub": NOBODY,
            "sid": NOBODY,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        if kind == "expired":
            claims |= {"iat": now - 2 * TOKEN_SECONDS, "exp": now - TOKEN_SECONDS}
        elif kind == "endless":
            del claims["exp"]
        elif kind == "foreign":
            claims["iss"] = "somebody-else"
        elif kind == "misdirected":
            claims["aud"] = "another-api"
        key = "a key of somebody else, long enough" if kind == "forged" else self.token_key
        if kind == "unsigned":
            return jwt.encode(claims, "", algorithm="none")
        return jwt.encode(claims, key, algorithm="HS256")

    def bearer(self, kind: Token = "good") -> dict[str, str]:
        """Return the header that shows such a token."""
        return {"Authorization": f"Bearer {self.token(kind)}"}

    def client(self, source: str | None) -> httpx.AsyncClient:
        """Return a client that sends from an address, or from whichever it has."""
        transport = httpx.AsyncHTTPTransport(local_address=source)
        return httpx.AsyncClient(
            base_url=self.url, transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def sources(self) -> Iterator[str | None]:
        """Yield addresses to ask from, which the lists of the gateway let in, for ever.

        Each has its own budget of requests. Where there are none to choose from, None: the
        machine's own address.
        """
        first = int(OWN_NETWORK) + random.randrange(1, 1 << 16)  # noqa: S311 - runs side by side
        while True:
            address = str(IPv4Address(first))
            usable = self.admits(address) and not self.trusts(address)
            yield address if usable and self.may_ask_from(address) else None
            first += 1

    def may_ask_from(self, address: str) -> bool:
        """Whether this machine can send to the gateway from an address."""
        if not self.direct or not ip_address(self.host).is_loopback:
            return False
        with suppress(OSError), socket.socket() as trial:
            trial.bind((address, 0))
            return True
        return False

    def admits(self, address: str) -> bool:
        """Whether the lists of the gateway let an address in."""
        asking = ip_address(address)
        allowed = not self.gateway.allow or any(asking in one for one in self.gateway.allow)
        return allowed and not any(asking in one for one in self.gateway.deny)

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a proxy which tells who its client is."""
        return any(ip_address(address) in one for one in self.gateway.trusted_proxies)

    def proxy(self) -> str | None:
        """Return the address of a trusted proxy that can be asked from, if any can."""
        candidates = (
            str(one[1] if one.num_addresses > 1 else one[0]) for one in self.gateway.trusted_proxies
        )
        return next((one for one in candidates if self.may_ask_from(one)), None)

    def clients(self) -> Iterator[str]:
        """Yield addresses that the lists let in, for a proxy to tell as those of its clients."""
        for network in self.gateway.allow or (BENCHMARKS,):
            first = random.randrange(network.num_addresses)  # noqa: S311 - runs side by side
            for offset in range(min(network.num_addresses, MOST_CLIENTS)):
                address = str(network[(first + offset) % network.num_addresses])
                if self.admits(address) and not self.trusts(address):
                    yield address

    def outsider(self, listed: Literal["allow", "deny"]) -> str | None:
        """Return an address that this list shuts out and that can be asked from, if any can."""
        if listed == "deny":
            candidates = [
                str(one[1] if one.num_addresses > 1 else one[0]) for one in self.gateway.deny
            ]
        else:
            candidates = (
                [f"127.{part}.0.9" for part in range(61, 250, 7)] if self.gateway.allow else []
            )
        return next(
            (one for one in candidates if not self.admits(one) and self.may_ask_from(one)), None
        )


def subject_of(stack: Stack, secrets: Secrets) -> Subject:
    """Return the gateway of a stack that runs."""
    where = urlsplit(stack.gateway_url)
    return Subject(
        host=str(where.hostname),
        port=where.port or 80,
        admin_port=stack.gateway.admin_port if stack.target in ("local", "compose") else None,
        gateway=stack.gateway,
        tokens=stack.tokens,
        token_key=secrets.get(OPERATOR, "token_key"),
        direct=stack.target == "local",
    )
