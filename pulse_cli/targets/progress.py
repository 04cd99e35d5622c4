"""Showing people how the components come up: a live table, or one line each in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from pulse_cli.output import people
from pulse_cli.targets.bringup import Phase, Progress, Show, StartFailed
from pulse_cli.targets.logs import last_lines

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
def shown() -> Iterator[Show]:
    """Yield a function that shows the components' progress on stderr."""
    if not people().is_terminal:
        yield _Lines()
        return
    with Live(console=people(), refresh_per_second=REFRESHES_PER_SECOND) as live:
        yield lambda progress: live.update(_table(progress))


class _Lines:
    """One plain line for every component that has come to its end."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, progress: Sequence[Progress]) -> None:
        for one in progress:
            if one.ended and one.name not in self._told:
                self._told.add(one.name)
                note = f"  {one.note}" if one.note and one.phase is not Phase.READY else ""
                people().print(
                    f"{one.name:<16} {one.phase:<8} {one.seconds or 0:5.1f} s{note}",
                    markup=False,
                    soft_wrap=True,
                )


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


def explain(failure: StartFailed, log: Path) -> None:
    """Show the last log lines of a component that did not become ready."""
    lines = last_lines(log, FAILURE_LINES)
    if not lines:
        people().print(f"{failure.name} wrote no log ({log})", markup=False, soft_wrap=True)
        return
    people().print(f"the last lines of {log}:", markup=False, soft_wrap=True)
    for line in lines:
        people().print(f"  {line}", markup=False, soft_wrap=True)
