"""CPU time of the stack's processes over the measured window, by component."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import psutil

from pulse_cli.targets.processes import find_labelled

PROGRAMS = {
    "postgres": "postgres",
    "redis-server": "redis",
    "beam.smp": "rabbitmq",
    "epmd": "rabbitmq",
    "envoy": "gateway",
    "supervisord": "supervisor",
}


def cpu_seconds(state: Path) -> dict[str, float]:
    """Return the CPU seconds (user and system) that each component has used so far.

    A process that ended counts through its parent, which reaped it: PostgreSQL's connections come
    and go.
    """
    used: dict[str, float] = defaultdict(float)
    for process in find_labelled(state):
        try:
            times = process.cpu_times()
            name = component(process.name(), process.cmdline())
        except psutil.Error:
            continue  # ended since it was found
        used[name] += times.user + times.system + times.children_user + times.children_system
    return dict(used)


def component(name: str, command: Iterable[str]) -> str:
    """Name what a process belongs to: a service, a store, the gateway, or its own name."""
    arguments = list(command)
    for argument in arguments:
        if argument.startswith("services."):
            return argument.removeprefix("services.")
    for program, found in PROGRAMS.items():
        if name.startswith(program) or any(Path(a).name == program for a in arguments[:2]):
            return found
    return "rabbitmq" if name.startswith("erl") or name == "inet_gethost" else name
