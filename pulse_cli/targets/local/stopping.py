"""Stopping a stack within a bound: those that use the stores, the stores, then what is left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from pulse_cli.errors import NotHealthy
from pulse_cli.targets.local import processes
from pulse_cli.targets.local.plan import STORES
from pulse_cli.targets.local.supervisor import ACTIVE, Supervisor

USERS_SECONDS = 1.8
STORES_SECONDS = 3.6
REST_SECONDS = 0.5
"""When, from the beginning, each group is no longer waited for: with the kill under 5 s in all.

A store that is killed loses nothing that it has acknowledged; its next start takes longer.
"""

POLL_SECONDS = 0.05


def stop_stack(state: Path, supervisor: Supervisor) -> int:
    """Stop every process of a stack; return how many there were (0: it did not run).

    Raises:
        NotHealthy: a process survived SIGKILL.
    """
    before = processes.find_labelled(state)
    if not before:
        return 0
    deadline = time.monotonic() + STORES_SECONDS
    try:
        if supervisor.answers():
            names = list(supervisor.infos())
            stop_components(supervisor, [n for n in names if n not in STORES], USERS_SECONDS)
            stop_components(
                supervisor, [n for n in names if n in STORES], deadline - time.monotonic()
            )
            supervisor.shut_down()
            deadline = min(deadline, time.monotonic()) + REST_SECONDS
            processes.wait_gone(before, deadline)
    except NotHealthy:
        pass  # it died meanwhile: the label finds what it leaves
    rest = processes.find_labelled(state)
    survivors = processes.stop(rest, max(REST_SECONDS, deadline - time.monotonic()))
    if survivors:
        pids = ", ".join(str(p.pid) for p in survivors)
        raise NotHealthy(f"these processes of the stack cannot be killed: {pids}")
    return len(before)


def stop_components(supervisor: Supervisor, names: Iterable[str], seconds: float) -> None:
    """Ask components to stop, all at once, and wait for at most `seconds` until they have."""
    wanted = set(names)
    for name, info in supervisor.infos().items():
        if name in wanted and info.state in ACTIVE:
            supervisor.stop(name)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        infos = supervisor.infos()
        if not any(infos[n].state in {*ACTIVE, "STOPPING"} for n in wanted if n in infos):
            return
        time.sleep(POLL_SECONDS)
