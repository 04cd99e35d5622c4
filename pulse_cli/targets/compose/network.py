"""A network of the stack's own: one that overlaps no other, and ports beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network

import psutil

from pulse_cli.errors import Unusable
from pulse_cli.stack.model import Stack
from pulse_cli.targets.compose.engine import Engine, refused
from pulse_cli.targets.local import ports

ISOLATED = IPv4Network("10.213.0.0/16")
"""Where stacks that choose their own network have theirs."""

NOT_HERE = {"rabbitmq-dist", "epmd", "postgres-replica"}
"""Ports of the model that nothing listens on outside of a container."""

OBSERVERS = ("prometheus", "grafana", "jaeger")


def published(stack: Stack) -> list[str]:
    """Return the model's names of the ports that the stack takes on this machine."""
    return [name for name in stack.ports() if name not in NOT_HERE]


def refuse_taken(stack: Stack, engine: Engine) -> None:
    """Raise `Unusable` when the network overlaps another one, or an observer's port is taken."""
    for name in OBSERVERS if stack.compose.observability else ():
        port: int = getattr(stack.compose, f"{name}_port")
        if not ports.is_free("127.0.0.1", port):
            raise Unusable(f"port {port} ({name}) is taken; set another as compose.{name}_port")
    for name, network in _networks(engine):
        if network.overlaps(stack.compose.subnet):
            raise Unusable(
                f"the network {stack.compose.subnet} overlaps {network} of {name}; set another "
                "one as compose.subnet in pulse.toml, or use --isolated"
            )


def isolated(stack: Stack, engine: Engine) -> Stack:
    """Return the stack on ports and in a network that are free now.

    Raises:
        Unusable: no network is free.
    """
    moved = ports.isolated(stack)
    taken = [network for _, network in _networks(engine)]
    free = [
        candidate
        for candidate in ISOLATED.subnets(new_prefix=24)
        if not any(candidate.overlaps(network) for network in taken)
    ]
    if not free:
        raise Unusable(f"no network in {ISOLATED} is free; remove some: docker network prune")
    changes: dict[str, object] = {"subnet": random.choice(free)}  # noqa: S311 - not a secret
    first = moved.services.notifications.port + 1  # the last port of the block
    for place, name in enumerate(OBSERVERS):
        changes[f"{name}_port"] = first + place
    return moved.model_copy(update={"compose": stack.compose.model_copy(update=changes)})


def _networks(engine: Engine) -> Iterator[tuple[str, IPv4Network]]:
    """Yield the networks of the engine and of the machine, but not those of the project."""
    with refused():
        own = {network.id for network in engine.networks()}
        others = [network for network in engine.client.networks.list() if network.id not in own]
    for network in others:
        for config in (network.attrs.get("IPAM") or {}).get("Config") or ():
            if "." in (subnet := config.get("Subnet", "")):
                yield f"docker's network {network.name}", IPv4Network(subnet, strict=False)
    bridges = {f"br-{identity[:12]}" for identity in own}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses if name not in bridges else ():
            if "." in address.address and address.netmask:
                own_address = IPv4Interface(f"{address.address}/{address.netmask}")
                yield f"the interface {name}", own_address.network
