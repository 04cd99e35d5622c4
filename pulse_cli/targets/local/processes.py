"""The processes of a stack, found by their label and stopped within a bound.

Every process of a stack carries its state folder in its environment. So all of them are found
again from nothing: after a lost state file, and as orphans of a killed supervisord.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

LABEL = "STACK_STATE_DIR"
"""The variable that every process of a stack carries: its state folder."""

STORES = {"postgres", "redis-server", "beam.smp", "epmd"}
"""Programs that are stopped after those that use them."""

POLL_SECONDS = 0.05
KILL_SECONDS = 1.0
"""How long a killed process may take to be gone (the kernel tears its memory down)."""


def find_labelled(state: Path) -> list[psutil.Process]:
    """Return the living processes of the stack whose state folder this is.

    Descendants count as labelled: PostgreSQL's overwrite their environment with a title.
    """
    wanted = str(state)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(LABEL) == wanted:
                found[process.pid] = process
                found.update((p.pid, p) for p in process.children(recursive=True))
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return [p for p in found.values() if lives(p)]


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie that nobody has reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def stop(processes: Sequence[psutil.Process], grace_seconds: float) -> list[psutil.Process]:
    """Stop processes gracefully, users of the stores first, then by SIGKILL.

    A supervisord among them is killed first: it would start again what is stopped here.
    Returns those that still live, which should be none.
    """
    supervisors = [p for p in processes if _is_supervisord(p)]
    heads = _heads([p for p in processes if p not in supervisors])
    for process in supervisors:
        _signal(process, signal.SIGKILL)
    users = [p for p in heads if _name(p) not in STORES]
    stores = [p for p in heads if _name(p) in STORES]
    deadline = time.monotonic() + grace_seconds
    for group, share in ((users, 0.5), (stores, 1.0)):
        for process in group:
            # PostgreSQL takes SIGTERM as "when all clients have left" and SIGINT as "now".
            _signal(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
        wait_gone(group, deadline - grace_seconds * (1 - share))
    wait_gone(processes, deadline)
    remaining = [p for p in processes if lives(p)]
    for process in remaining:
        _signal(process, signal.SIGKILL)
    return wait_gone(remaining, time.monotonic() + KILL_SECONDS)


def wait_gone(processes: Iterable[psutil.Process], deadline: float) -> list[psutil.Process]:
    """Wait until all are gone or `deadline` (monotonic); return those that live."""
    waiting = [p for p in processes if lives(p)]
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        waiting = [p for p in waiting if lives(p)]
    return waiting


def _heads(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is not among them: a parent stops its own children best."""
    pids = {p.pid for p in processes}
    return [p for p in processes if _parent(p) not in pids]


def _is_supervisord(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except (psutil.Error, OSError):
        return  # it ended meanwhile
