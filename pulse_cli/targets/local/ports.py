"""Which ports are taken and by whom, and which are free for a stack of their own."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import psutil

from pulse_cli.errors import Unusable
from pulse_cli.stack.model import SERVICE_NAMES, Stack

ISOLATED_PORTS = range(20_000, 31_000)
"""Below Linux' ephemeral ports (32768 and up), so that no client socket takes one meanwhile."""

ATTEMPTS = 200

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; unknown when another user's."""

    port: int
    pid: int | None
    command: str

    def __str__(self) -> str:
        """Say it in the middle of a sentence."""
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid} ({self.command})"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def taken(stack: Stack, names: Iterable[str] | None = None) -> dict[str, Holder]:
    """Return who holds the stack's ports, by the stack's name of the port (all, or `names`)."""
    ports = stack.ports()
    wanted = ports if names is None else {name: ports[name] for name in names}
    busy = {n: p for n, p in wanted.items() if not is_free(host_of(stack, n), p)}
    if not busy:
        return {}
    listeners = _listeners()
    return {name: listeners.get(port, Holder(port, None, "unknown")) for name, port in busy.items()}


def refuse_taken(stack: Stack, names: Iterable[str]) -> None:
    """Raise `Unusable`, naming every holder, when any of these ports of the stack is taken."""
    found = taken(stack, names)
    if found:
        held = "; ".join(f"port {h.port} ({name}) by {h}" for name, h in found.items())
        raise Unusable(
            f"taken: {held}; stop the holder, set another port in pulse.toml, or use --isolated"
        )


def host_of(stack: Stack, name: str) -> str:
    """Return the address that the port called `name` is bound on."""
    hosts = {
        "gateway": stack.gateway.host,
        "postgres": stack.postgres.host,
        "postgres-replica": stack.postgres.host,
        "redis": stack.redis.host,
        "rabbitmq": stack.rabbitmq.host,
    }
    return hosts.get(name, LOOPBACK)


def any_free(but: Collection[int]) -> int:
    """Return a port of loopback that is free now and not among `but`. Raises `OSError`."""
    for _ in range(ATTEMPTS):
        port = random.choice(ISOLATED_PORTS)  # noqa: S311 - not a secret
        if port not in but and is_free(LOOPBACK, port):
            return port
    raise OSError("no free port was found")


def isolated(stack: Stack) -> Stack:
    """Return the stack on ports that are free now."""
    for _ in range(ATTEMPTS):
        base = random.choice(ISOLATED_PORTS)  # noqa: S311 - not a secret
        candidate = _moved(stack, base)
        if all(is_free(host_of(candidate, n), p) for n, p in candidate.ports().items()):
            return candidate
    raise OSError("no block of free ports was found")


def _moved(stack: Stack, base: int) -> Stack:
    services: dict[str, object] = {
        name: stack.services[name].model_copy(update={"port": base + 11 + i})
        for i, name in enumerate(SERVICE_NAMES)
    }
    moved: Mapping[str, object] = {
        "gateway": stack.gateway.model_copy(update={"port": base, "admin_port": base + 1}),
        "postgres": stack.postgres.model_copy(update={"port": base + 2, "replica_port": base + 7}),
        "redis": stack.redis.model_copy(update={"port": base + 3}),
        "rabbitmq": stack.rabbitmq.model_copy(
            update={"port": base + 4, "dist_port": base + 5, "epmd_port": base + 6}
        ),
        "services": stack.services.model_copy(update=services),
    }
    return stack.model_copy(update=moved)


def _listeners() -> dict[int, Holder]:
    found: dict[int, Holder] = {}
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows other processes' sockets to root alone
        return found
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        port = connection.laddr.port
        if connection.pid is not None or port not in found:
            found[port] = Holder(port, connection.pid, _command(connection.pid))
    return found


def _command(pid: int | None) -> str:
    if pid is None:
        return "unknown"
    try:
        process = psutil.Process(pid)
        return " ".join(process.cmdline())[:120] or process.name()
    except psutil.Error:
        return "ended meanwhile"
