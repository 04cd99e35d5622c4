"""Where a gateway runs: what Kong's and Envoy's configurations are rendered for.

The policies are the stack's own. What differs between targets is here: the addresses of the
instances, and the files beside the gateway. Those that hold secrets are named, never contained:
a text has a placeholder where its secret belongs, and `filled` puts it there when the files go to
one who may read it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pulse_cli.programs import LOOPBACK
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack
from pulse_cli.stack.secrets import GATEWAY, Secrets

TOKEN_KEY = "@PULSE_TOKEN_KEY@"  # noqa: S105 - not the key
TOKEN_KEY_BASE64 = "@PULSE_TOKEN_KEY_BASE64URL@"  # noqa: S105
REDIS_PASSWORD = "@PULSE_GATEWAY_REDIS_PASSWORD@"  # noqa: S105

ANYWHERE = "0.0.0.0"  # noqa: S104 - in a container, whose ports are published or not
MOUNTED = "/etc/pulse/"
"""Where a container finds the gateway's files: Kong's or Envoy's, and the API's description."""


class Address(NamedTuple):
    """Where something listens: an IP address, or a name."""

    host: str
    port: int


CONTAINED_REDIS = Address("redis", 6379)


@dataclass(frozen=True)
class Surroundings:
    """What a gateway listens on, and where it finds what it needs."""

    listen: Address
    admin: Address
    """Where Prometheus finds its metrics."""
    instances: Mapping[ServiceName, tuple[Address, ...]]
    """Of each service. A name stands for all addresses that it resolves to."""
    redis: Address
    """Where Kong counts requests."""
    redis_user: str = GATEWAY
    redis_tls: bool = False
    """Whether Redis is reached with TLS; its certificate must be good for the name above."""
    folder: str = MOUNTED
    """What to put before the names of the gateway's own files."""
    description: str = MOUNTED
    """What to put before the names of the API's description."""
    fallback: Mapping[ServiceName, Address] = field(default_factory=dict)
    """What leads to some instance of a service, for when Kong reaches none of them itself."""
    endpoints: str | None = None
    """A folder of files that tell Envoy the instances, which it follows without a restart."""


def on_loopback(stack: Stack) -> Surroundings:
    """Return what surrounds a gateway of a stack on this machine, files in its working folder."""
    return Surroundings(
        listen=Address(stack.gateway.host, stack.gateway.port),
        admin=Address(LOOPBACK, stack.gateway.admin_port),
        instances={
            name: tuple(
                Address(LOOPBACK, stack.instance_port(name, index))
                for index in range(stack.services[name].replicas)
            )
            for name in SERVICE_NAMES
        },
        redis=Address(stack.redis.host, stack.redis.port),
        folder="",
        description="",
    )


def by_name(stack: Stack, redis: Address = CONTAINED_REDIS) -> Surroundings:
    """Return what surrounds a gateway in a network where a service's name means all its instances.

    Each of them listens on the service's port.
    """
    return Surroundings(
        listen=Address(ANYWHERE, stack.gateway.port),
        admin=Address(ANYWHERE, stack.gateway.admin_port),
        instances={name: (Address(name, stack.services[name].port),) for name in SERVICE_NAMES},
        redis=redis,
    )


def in_compose(stack: Stack) -> Surroundings:
    """Return what surrounds the gateway of a compose project.

    It is in the host's network, where its clients keep their addresses, and reaches each instance
    by its own, which it has whatever restarts.
    """
    return Surroundings(
        listen=Address(stack.gateway.host, stack.gateway.port),
        admin=Address(LOOPBACK, stack.gateway.admin_port),
        instances={
            name: tuple(
                Address(
                    stack.compose.instance_address(place, index), stack.instance_port(name, index)
                )
                for index in range(stack.services[name].replicas)
            )
            for place, name in enumerate(SERVICE_NAMES)
        },
        redis=Address(stack.redis.host, stack.redis.port),
        folder=f"{MOUNTED}gateway/",
        description=f"{MOUNTED}api/",
        endpoints=f"{MOUNTED}gateway/eds",
    )


def surroundings(stack: Stack) -> Surroundings:
    """Return what surrounds the gateway of the stack's own target."""
    found = {"local": on_loopback, "compose": in_compose}.get(stack.target, by_name)
    return found(stack)


def filled(text: str, secrets: Secrets) -> str:
    """Return a rendered text with the stack's secrets in their places."""
    key = secrets.get(GATEWAY, "token_key")
    values = {
        TOKEN_KEY: key,
        TOKEN_KEY_BASE64: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
        REDIS_PASSWORD: secrets.get(GATEWAY, "redis_password"),
    }
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text
