"""An instance dies under load: what the users notice, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pulse_cli.bench.place import place_of
from pulse_cli.context import Root
from pulse_cli.output import people
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets.progress import shown
from pulse_cli.targets.target import Target
from pulse_cli.verify.load import COLUMNS, Stretch, prepare, under_load
from pulse_cli.verify.report import Check, Report

FAILED_SHARE = 0.001
"""Of the requests from the kill on, at most."""

RESTORED_SECONDS = 5.0
"""After which no request fails any more."""

BACK_SECONDS = 60.0
"""How long the killed instance may take to be ready again before it counts as lost."""

KNOWN_SECONDS = 1.0
"""How much earlier than it is known an instance may have been struck."""

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Found:
    """What the users saw, and when the instance was back."""

    before: Stretch
    without: Stretch
    """From the kill on."""
    back_after: float | None
    """Seconds until the instance was ready again."""
    failures: Mapping[str, int]
    about: str
    """Where the load was."""


def verify_failover(root: Root, service: ServiceName, seconds: float, rate: float) -> Report:
    """Kill one of a service's instances while it is used; with only one, a second is added first.

    The service has as many instances afterwards as it had before.

    Raises:
        ConfigError: the database has no room for a second instance.
        NotHealthy: nothing runs, an instance did not become ready, or nobody can log in.
    """
    target = root.target
    stack = target.running()
    prepare(root, stack)
    had = stack.services[service].replicas
    try:
        if had < 2:
            with shown(target) as show:
                stack = target.scale(service, 2, show)
        found = _run(target, stack, root.state, service, seconds, rate)
    finally:
        if target.running().services[service].replicas != had:
            with shown(target) as show:
                target.scale(service, had, show)
    return report(service, found)


def _run(
    target: Target, stack: Stack, state: Path, service: ServiceName, seconds: float, rate: float
) -> Found:
    place = place_of(stack, state)
    victim = f"{service}-{stack.services[service].replicas - 1}"
    with under_load(place, state, service, rate) as load:
        people().print(f"{rate:g} requests/s, {seconds:g} s")
        before = load.watch(seconds)
        people().print(f"killing {victim}")
        begun = time.monotonic()
        killed = target.kill(victim)
        back_after = _until_back(target, victim, killed)
        ended = max(time.monotonic(), killed + seconds)
        without = load.stretch(max(begun, killed - KNOWN_SECONDS), ended)
        if without.last_failure is not None:
            restored = max(0.0, without.last_failure - min(killed - begun, KNOWN_SECONDS))
            without = replace(without, last_failure=restored)
        return Found(before, without, back_after, load.failures, place.about)


def _until_back(target: Target, victim: str, killed: float) -> float | None:
    while (waited := time.monotonic() - killed) < BACK_SECONDS:
        if target.ready(victim):
            return waited
        time.sleep(POLL_SECONDS)
    return None


def report(service: ServiceName, found: Found) -> Report:
    """Judge how many requests failed, until when, and whether the instance came back."""
    without = found.without
    share = without.failed / without.requests
    last = without.last_failure
    back = found.back_after
    return Report(
        title=f"failover of {service}: the process of one instance is killed under load",
        columns=COLUMNS,
        rows=[found.before.row("all instances"), without.row("from the kill on")],
        checks=[
            Check(
                "failed_requests",
                f"< {FAILED_SHARE:.1%}",
                f"{share:.3%} ({without.failed} of {without.requests})",
                share < FAILED_SHARE,
            ),
            Check(
                "service_restored",
                f"<= {RESTORED_SECONDS:g} s",
                "no request failed" if last is None else f"last failure after {last:.2f} s",
                last is None or last <= RESTORED_SECONDS,
            ),
            Check(
                "instance_back",
                f"<= {BACK_SECONDS:g} s",
                "not at all" if back is None else f"{back:.1f} s",
                back is not None,
            ),
        ],
        failures=found.failures,
        notes=[found.about, *_doubts(found.before)],
        figures={
            "service": service,
            "instance_back_seconds": back,
            "stretches": {"before": asdict(found.before), "without": asdict(without)},
        },
    )


def _doubts(before: Stretch) -> Iterator[str]:
    if before.failed:
        yield (
            f"{before.failed} of {before.requests} requests failed before anything was killed: "
            "what fails later need not be the kill's doing"
        )
