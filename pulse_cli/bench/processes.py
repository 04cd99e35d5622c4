"""CPU time over the measured window: of the stack by component, of the bench, and of all others."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.compose.processes import in_containers
from pulse_cli.targets.local.processes import find_labelled

PROGRAMS = {
    "postgres": "postgres",
    "redis-server": "redis",
    "beam.smp": "rabbitmq",
    "erl_child_setup": "rabbitmq",
    "inet_gethost": "rabbitmq",
    "epmd": "rabbitmq",
    "envoy": "gateway",
    "nginx": "gateway",
    "supervisord": "supervisor",
    "supervisor.supervisord": "supervisor",
    "rabbit_disk_monitor": "rabbitmq",
}

OURS = ("services.", "pulse_cli.bench.")
"""Modules of ours that are processes, named by their last part."""


@dataclass(frozen=True)
class Usage:
    """What each component has used up to one moment."""

    at: float
    """`time.monotonic`"""
    cpu: Mapping[str, float]
    """CPU seconds, user and system; the bench's own processes among them."""
    started: Mapping[str, float]
    """When the oldest process of each of the stack's components started (since the epoch)."""
    busy: float
    """CPU seconds of the whole machine, all cores together, with what its host took from it."""


def usage(state: Path) -> Usage:
    """Look at every process of the stack.

    A process that ended counts through its parent, which reaped it: PostgreSQL's connections come
    and go.
    """
    cpu: dict[str, float] = defaultdict(float)
    started: dict[str, float] = {}
    for process in (*find_labelled(state), *in_containers(state)):
        try:
            name = component(process.name(), process.cmdline())
            born = process.create_time()
            cpu[name] += _seconds(process)
        except psutil.Error:
            continue  # ended since it was found
        started[name] = min(born, started.get(name, born))
    own = psutil.Process()
    cpu["bench"] = _seconds(own)
    for process in own.children(recursive=True):
        try:
            cpu[component(process.name(), process.cmdline())] += _seconds(process)
        except psutil.Error:
            continue  # its time is now among our children's
    machine = psutil.cpu_times()
    idle = machine.idle + getattr(machine, "iowait", 0.0)
    guests = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0)  # in user, nice
    busy = sum(machine) - idle - guests
    return Usage(time.monotonic(), cpu, started, busy)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    used: float = times.user + times.system + times.children_user + times.children_system
    return used


def others_share(before: Usage, after: Usage) -> float:
    """Return the share of the whole machine (0 to 1) that neither stack nor bench used."""
    ours = sum(after.cpu.values()) - sum(before.cpu.values())
    available = (after.at - before.at) * (psutil.cpu_count() or 1)
    return max(0.0, after.busy - before.busy - ours) / available if available > 0 else 0.0


def component(name: str, command: Iterable[str]) -> str:
    """Name what a process belongs to: a service, a store, the gateway; else its own name."""
    arguments = list(command)
    for argument in arguments:
        if argument.startswith(OURS):
            return argument.rpartition(".")[2]
    programs = (name, *(Path(argument).name for argument in arguments[:3]))
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
    """Yield a sentence for each store or gateway whose first process is another one, or gone.

    Services tell of their restarts themselves, by instance.
    """
    for name, born in before.started.items():
        if name not in SERVICE_NAMES and after.started.get(name) != born:
            yield f"{name} was restarted or ended during the run"
