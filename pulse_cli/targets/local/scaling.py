"""What a stack is after scaling one service, and when its gateway has followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from pulse_cli.errors import ConfigError
from pulse_cli.programs import LOOPBACK
from pulse_cli.render.gateway import surroundings
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets import probes

DRAIN_SECONDS = 3.0
"""How long the gateway may take to follow its file of endpoints; inotify tells it at once."""

GIVE_OUT_SECONDS = 5.0
"""How long it may take to find a new instance healthy: it asks every second."""

POLL_SECONDS = 0.1


def scaled(stack: Stack, service: ServiceName, replicas: int, connections: int) -> Stack:
    """Return the stack with `replicas` instances of a service.

    Args:
        stack: what runs now.
        service: the service to scale.
        replicas: how many instances it shall have.
        connections: the limit of the PostgreSQL server that runs.

    Raises:
        ConfigError: the number is not allowed, two ports clash, or connections are too few.
    """
    values = stack.model_dump(mode="json")
    values["services"][service]["replicas"] = replicas
    try:
        new = Stack.model_validate(values)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{service} cannot have {replicas} instances: {reason[0].lower()}{reason[1:]}"
        ) from None
    if new.max_connections > connections:
        raise ConfigError(
            f"{service}={replicas} needs {new.max_connections} PostgreSQL connections and the "
            f"running server has {connections}; set services.{service}.replicas = {replicas} in "
            "pulse.toml, then: pulse down && pulse up"
        )
    return new


def wait_given_out(stack: Stack, instances: Iterable[str]) -> None:
    """Wait until Envoy found instances such as `posts-1` healthy, and so sends them requests."""
    wanted = [f"::{address}::health_flags::healthy\n" for address in _addresses(stack, instances)]
    _wait(stack, GIVE_OUT_SECONDS, lambda clusters: all(line in clusters for line in wanted))


def wait_drained(stack: Stack, instances: Iterable[str]) -> None:
    """Wait until Envoy no longer sends requests to instances such as `posts-1`."""
    gone = [f"::{address}::" for address in _addresses(stack, instances)]
    _wait(stack, DRAIN_SECONDS, lambda clusters: not any(line in clusters for line in gone))


def _addresses(stack: Stack, instances: Iterable[str]) -> list[str]:
    known = surroundings(stack).instances.items()
    places = {f"{name}-{i}": found for name, each in known for i, found in enumerate(each)}
    return [f"{places[name].host}:{places[name].port}" for name in instances]


def _wait(stack: Stack, seconds: float, done: Callable[[str], bool]) -> None:
    """Wait until Envoy's list is as it shall be: `posts::127.0.0.1:8182::health_flags::healthy`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done(probes.http(LOOPBACK, stack.gateway.admin_port, "/clusters").said):
            return
        time.sleep(POLL_SECONDS)
