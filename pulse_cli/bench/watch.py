"""What people see while a bench runs: its stage, and the last seconds of the load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from pulse_cli.bench.drive import Drive
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.statistics import percentile

LOOK_BACK = 5.0
"""Seconds that the shown rate and percentiles cover."""


class Watch:
    """One line of progress a stage, and one of numbers below it, on the console for people.

    Off a terminal it prints a line a stage and nothing else.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}"),
            console=console,
            auto_refresh=False,
        )
        # Refreshed by hand, once a second: drawing takes CPU time from what is measured.
        self._live = Live(self._progress, console=console, auto_refresh=False, transient=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the progress for as long as the block runs."""
        with self._live:
            yield

    @contextmanager
    def stage(self, name: str, total: float, said: str) -> Iterator[Stage]:
        """Begin a stage; `total` is a number of steps or of seconds."""
        if not self._console.is_terminal:
            self._console.print(f"{name}: {said}")
        task = self._progress.add_task(name, total=total, said=said)
        yield Stage(self._live, self._progress, task)
        self._progress.update(task, completed=total)
        self._live.refresh()


class Stage:
    """One stage's line."""

    def __init__(self, live: Live, progress: Progress, task: TaskID) -> None:
        self._live = live
        self._progress = progress
        self._task = task

    def step(self) -> None:
        """One of the stage's steps is done."""
        self._progress.advance(self._task)
        self._live.refresh()

    def load(self, drive: Drive, timeline: Timeline) -> None:
        """Show how far the timeline is and what the last seconds were like."""
        now = time.monotonic()
        self._progress.update(
            self._task,
            completed=max(0.0, now - timeline.origin),
            said=_numbers(drive, timeline, now),
        )
        self._live.refresh()


def _numbers(drive: Drive, timeline: Timeline, now: float) -> str:
    part = "measured" if now >= timeline.opens else "ramp and warm-up"
    left = max(0.0, (timeline.opens if now < timeline.opens else timeline.closes) - now)
    until = min(now, timeline.closes)
    samples = drive.samples
    recent = []
    # The newest samples are at the end, nearly in order of their answers.
    for i in range(len(samples) - 1, -1, -1):
        if samples.sent[i] < until - LOOK_BACK:
            break
        recent.append(samples.latency[i] * 1000)
    if not recent:
        return f"{part}, {left:.0f} s left"
    recent.sort()
    p50, p95, p99 = (percentile(recent, share) for share in (0.5, 0.95, 0.99))
    failed = sum(drive.failures.values())
    return (
        f"{part}, {left:3.0f} s left  {len(recent) / LOOK_BACK:5.0f}/s  p50 {p50:.0f}"
        f"  p95 {p95:.0f}  p99 {p99:.0f} ms  {failed} errors"
    )
