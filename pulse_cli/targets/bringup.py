"""Starting components in the order of their needs, everything that can at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from pulse_cli.targets.local.plan import Component
from pulse_cli.targets.local.supervisor import ENDED, RUNNING, Info
from pulse_cli.targets.probes import Answer
from pulse_cli.targets.progress import Phase, Show, StartFailed

TICK_SECONDS = 0.1
ATTEMPTS = 3
"""Starts after which a component that keeps ending has failed (its runner starts it again)."""

DEADLINE_SECONDS = 180.0
"""How long one component may take, from its own start. RabbitMQ boots in 6 s on two quiet cores,
and in more than 60 on two that fifty processes wait for."""


@dataclass
class Progress:
    """One component on its way up."""

    component: Component
    phase: Phase = Phase.WAITING
    begun: float = 0.0
    ended: float = 0.0
    note: str = ""
    settled: float = 0.0
    """Since when only it itself is waited for; it may start before what its probe needs."""
    probe: Future[Answer] | None = field(default=None, repr=False)
    pids: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name

    @property
    def seconds(self) -> float | None:
        """Seconds from its start to now or to its end; `None` while it waits."""
        if not self.begun:
            return None
        return (self.ended or time.monotonic()) - self.begun

    def end(self, phase: Phase, note: str = "") -> None:
        """Come to an end in `phase`."""
        self.phase = phase
        self.note = note
        self.ended = time.monotonic()


Gates = Mapping[str, Future[None]]


class Runner(Protocol):
    """What starts components and knows how they are; it starts again those that end."""

    def infos(self) -> Mapping[str, Info]:
        """Return what is known of every component, by name."""

    def run(self, name: str) -> None:
        """Start a component and do not wait; one that already runs is left alone."""


def bring_up(
    runner: Runner,
    components: Sequence[Component],
    show: Show,
    gates: Gates,
    started: list[str] | None = None,
    deadline: float | None = None,
) -> None:
    """Start what does not run and wait until every component is ready.

    Args:
        runner: what has the components configured.
        components: what must be ready in the end.
        show: called after every look at the components.
        gates: work that must be done before the component of that name is started.
        started: takes the names of the components that were started here.
        deadline: seconds that one component may take, if not `DEADLINE_SECONDS`.

    Raises:
        StartFailed: naming the first component that failed.
    """
    progress = {c.name: Progress(c) for c in components}
    patience = deadline or DEADLINE_SECONDS
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe") as pool:
        while any(p.phase is not Phase.READY for p in progress.values()):
            infos = runner.infos()
            for one in progress.values():
                if one.phase is Phase.STARTING:
                    _look(one, infos.get(one.name), progress, pool, patience)
                elif one.phase is Phase.WAITING and _may_start(one, progress, gates):
                    one.begun = time.monotonic()
                    one.phase = Phase.STARTING
                    if not _stands(one.component, infos.get(one.name)):
                        runner.run(one.name)
                        if started is not None:
                            started.append(one.name)
            failed = next((p for p in progress.values() if p.phase is Phase.FAILED), None)
            if failed is not None:
                _skip(progress.values(), failed.name)
            show(list(progress.values()))
            if failed is not None:
                raise StartFailed(failed.name, failed.note)
            time.sleep(TICK_SECONDS)


def _may_start(one: Progress, progress: Mapping[str, Progress], gates: Gates) -> bool:
    gate = gates.get(one.name)
    if gate is not None:
        if not gate.done():
            return False
        gate.result()  # raises what stopped the work
    needs = (progress[name] for name in one.component.after if name in progress)
    return all(p.phase is Phase.READY for p in needs)


def _stands(component: Component, info: Info | None) -> bool:
    """Whether a component needs no start: it runs, or it is a job that is done."""
    if info is None:
        return False
    return info.state in RUNNING or _is_done(component, info)


def _is_done(component: Component, info: Info) -> bool:
    return component.kind == "job" and info.ended_well


def _look(
    one: Progress,
    info: Info | None,
    progress: Mapping[str, Progress],
    pool: ThreadPoolExecutor,
    patience: float,
) -> None:
    component = one.component
    if info is None:
        one.end(Phase.FAILED, "nothing runs it")
        return
    if info.pid is not None:
        one.pids.add(info.pid)
    again = component.kind != "job" and info.state != "FATAL" and len(one.pids) < ATTEMPTS
    if _is_done(component, info):
        one.end(Phase.READY)
    elif info.state in ENDED and not again:
        one.end(Phase.FAILED, _why_ended(info, one.note))
    elif not _settled(component, progress):
        one.settled = time.monotonic()
    elif time.monotonic() - max(one.begun, one.settled) > patience:
        one.end(Phase.FAILED, f"not ready after {patience:.0f} s; last answer: {one.note}")
    elif component.probe is not None:
        _probe(one, component.probe, info, pool)


def _settled(component: Component, progress: Mapping[str, Progress]) -> bool:
    others = (progress[name] for name in component.settles if name in progress)
    return all(p.phase is Phase.READY for p in others)


def _probe(
    one: Progress, probe: Callable[[], Answer], info: Info, pool: ThreadPoolExecutor
) -> None:
    if one.probe is not None and one.probe.done():
        answer = one.probe.result()
        one.note = answer.said
        if answer.ready and info.state in RUNNING:
            one.end(Phase.READY)
            return
        one.probe = None
    if one.probe is None:
        one.probe = pool.submit(probe)


def _why_ended(info: Info, answer: str) -> str:
    ended = f"it ended with {info.exit_status}" if info.state == "EXITED" else info.reason
    return f"{ended}; last answer: {answer}" if answer else ended


def _skip(progress: Iterable[Progress], failed: str) -> None:
    """Mark as skipped what depended, however far away, on what failed."""
    lost = {failed}
    for one in progress:
        needs = (*one.component.after, *one.component.settles)
        if one.phase in {Phase.WAITING, Phase.STARTING} and lost.intersection(needs):
            lost.add(one.name)
            one.end(Phase.SKIPPED, f"needs {failed}")
