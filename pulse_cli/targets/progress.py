"""Showing people how the components come up: a live table, or one line each in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from rich.live import Live
from rich.table import Table
from rich.text import Text

from pulse_cli.errors import NotHealthy
from pulse_cli.output import people, say


class Phase(StrEnum):
    """How far a component has come."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    SKIPPED = "skipped"


class Logs(Protocol):
    """Where what failed can be looked up."""

    def log(self, name: str) -> str:
        """Return where a component's log is: a file, or the command that prints it."""

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the last lines that a component wrote; none when there is no log."""


class Progress(Protocol):
    """One component on its way up."""

    phase: Phase
    ended: float
    """When it came to its end; 0 before."""
    note: str
    """What it said last, or why it failed."""

    @property
    def name(self) -> str:
        """The component's name."""

    @property
    def seconds(self) -> float | None:
        """Seconds from its start to now or to its end; `None` while it waits."""


Show = Callable[[Sequence[Progress]], None]


class StartFailed(NotHealthy):
    """A component did not become ready."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} did not become ready: {reason}")
        self.name = name


STYLES = {
    Phase.WAITING: "dim",
    Phase.STARTING: "yellow",
    Phase.READY: "green",
    Phase.FAILED: "bold red",
    Phase.SKIPPED: "magenta",
}
FAILURE_LINES = 10
REFRESHES_PER_SECOND = 10


@contextmanager
def shown(logs: Logs) -> Iterator[Show]:
    """Yield a function that shows the components' progress on stderr.

    When one does not become ready, the last lines of its log are shown as well.
    """
    try:
        if not people().is_terminal:
            yield _Lines()
            return
        with Live(console=people(), refresh_per_second=REFRESHES_PER_SECOND) as live:
            yield lambda progress: live.update(_table(progress))
    except StartFailed as failure:
        _explain(failure.name, logs)
        raise


class _Lines:
    """One plain line for every component that has come to its end."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, progress: Sequence[Progress]) -> None:
        for one in progress:
            if one.ended and one.name not in self._told:
                self._told.add(one.name)
                note = f"  {one.note}" if one.note and one.phase is not Phase.READY else ""
                say(f"{one.name:<16} {one.phase:<8} {one.seconds or 0:5.1f} s{note}")


def _table(progress: Sequence[Progress]) -> Table:
    grid = Table("COMPONENT", "STATE", "SECONDS", "", box=None, pad_edge=False)
    grid.columns[0].min_width = max((len(one.name) for one in progress), default=0)
    grid.columns[1].min_width = max(map(len, Phase))
    grid.columns[2].justify = "right"
    grid.columns[3].no_wrap = True
    grid.columns[3].overflow = "ellipsis"
    for one in progress:
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        note = "" if one.phase is Phase.READY else one.note
        grid.add_row(one.name, Text(one.phase, STYLES[one.phase]), seconds, Text(note, style="dim"))
    return grid


def _explain(name: str, logs: Logs) -> None:
    lines = logs.last_lines(name, FAILURE_LINES)
    if not lines:
        say(f"{name} wrote no log ({logs.log(name)})")
        return
    say(f"the last lines of {logs.log(name)}:")
    for line in lines:
        say(f"  {line}")
