"""CPU time of the stack's processes over the measured window, by component."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from pulse_cli.targets.processes import find_labelled

PROGRAMS = {
    "postgres": "postgres",
    "redis-server": "redis",
    "beam.smp": "rabbitmq",
    "erl_child_setup": "rabbitmq",
    "inet_gethost": "rabbitmq",
    "epmd": "rabbitmq",
    "envoy": "gateway",
    "supervisord": "supervisor",
}


@dataclass(frozen=True)
class Usage:
    """What each component has used up to one moment."""

    at: float
    """`time.monotonic`"""
    cpu: Mapping[str, float]
    """CPU seconds, user and system."""
    started: Mapping[str, float]
    """When the oldest process of each component started (seconds since the epoch)."""


def usage(state: Path) -> Usage:
    """Look at every process of the stack.

    A process that ended counts through its parent, which reaped it: PostgreSQL's connections come
    and go.
    """
    cpu: dict[str, float] = defaultdict(float)
    started: dict[str, float] = {}
    for process in find_labelled(state):
        try:
            times = process.cpu_times()
            name = component(process.name(), process.cmdline())
            born = process.create_time()
        except psutil.Error:
            continue  # ended since it was found
        cpu[name] += times.user + times.system + times.children_user + times.children_system
        started[name] = min(born, started.get(name, born))
    return Usage(time.monotonic(), cpu, started)


def component(name: str, command: Iterable[str]) -> str:
    """Name what a process belongs to: a service, a store, the gateway, or its own name."""
    arguments = list(command)
    for argument in arguments:
        if argument.startswith("services."):
            return argument.removeprefix("services.")
    programs = (name, *(Path(argument).name for argument in arguments[:2]))
    return next((PROGRAMS[program] for program in programs if program in PROGRAMS), name)


def cpu_us_per_request(before: Usage, after: Usage, rate: float) -> dict[str, float]:
    """Return each component's CPU time in microseconds over one request of the clients."""
    requests = rate * (after.at - before.at)
    return {
        name: max(0.0, used - before.cpu.get(name, 0.0)) / requests * 1e6
        for name, used in sorted(after.cpu.items(), key=lambda item: -item[1])
        if requests
    }


def restarts(before: Usage, after: Usage) -> Iterator[str]:
    """Yield a sentence for each component whose first process is another one, or gone."""
    for name, born in before.started.items():
        if after.started.get(name) != born:
            yield f"{name} was restarted or ended during the run"
