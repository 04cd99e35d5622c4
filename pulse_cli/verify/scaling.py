"""From one instance to several and back, under load: who serves how much, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pulse_cli.bench.place import place_of
from pulse_cli.bench.scrape import Snapshots, read
from pulse_cli.context import Root
from pulse_cli.errors import ConfigError
from pulse_cli.output import people
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets.progress import shown
from pulse_cli.targets.target import Target
from pulse_cli.verify.load import COLUMNS, Load, Stretch, prepare, under_load
from pulse_cli.verify.report import Check, Report

UNEVEN = 0.10
"""How far an instance's share may be from an even one, as a part of the even one."""

AFTER_SECONDS = 2.0
"""What happens after a change of the number of instances counts as its doing for so long."""

PUBLIC = "/api/v1/"


@dataclass(frozen=True)
class Found:
    """What the users and the instances saw."""

    before: Stretch
    growing: Stretch
    grown: Stretch
    shrinking: Stretch
    after: Stretch
    served: Mapping[str, int]
    """Requests from the gateway by instance, while there were several."""
    failures: Mapping[str, int]
    about: str
    """Where the load was."""


def verify_scaling(
    root: Root, service: ServiceName, replicas: int, seconds: float, rate: float
) -> Report:
    """Scale a service from one instance to `replicas` and back while it is used.

    The service has as many instances afterwards as it had before.

    Raises:
        ConfigError: `replicas` is less than two or more than the database can serve, or the
            service scales by itself.
        NotHealthy: nothing runs, an instance did not become ready, or nobody can log in.
    """
    if replicas < 2:
        raise ConfigError("scaling needs --replicas 2 or more")
    target = root.target
    stack = target.running()
    overlay = stack.kubernetes.overlay
    if stack.target == "kubernetes" and overlay != "dev":
        raise ConfigError(
            f"in overlay {overlay} {service} scales by itself, so how many pods it has is not "
            "for a verification to say; verify it with kubernetes.overlay = dev"
        )
    prepare(root, stack)
    had = stack.services[service].replicas
    try:
        if had != 1:
            stack = _scale(target, service, 1)
        found = _run(target, stack, root.state, service, replicas, seconds, rate)
    finally:
        if target.running().services[service].replicas != had:
            _scale(target, service, had)
    return report(service, replicas, found)


def _run(
    target: Target,
    stack: Stack,
    state: Path,
    service: ServiceName,
    replicas: int,
    seconds: float,
    rate: float,
) -> Found:
    place = place_of(stack, state)
    with under_load(place, state, service, rate) as load:
        people().print(f"{rate:g} requests/s: {service} with 1 instance, {seconds:g} s")
        before = load.watch(seconds)
        people().print(f"to {replicas} instances")
        grown_stack, growing = _scale_under(load, target, service, replicas)
        instances = place_of(grown_stack, state)
        asyncio.run(instances.scrape())  # what it takes to reach them is done before
        people().print(f"{place.settle_seconds:g} s until everybody knows them")
        time.sleep(place.settle_seconds)
        people().print(f"{service} with {replicas} instances, {seconds:g} s")
        at_first = read(asyncio.run(instances.scrape()))
        grown = load.watch(seconds)
        at_last = read(asyncio.run(instances.scrape()))
        people().print("back to 1 instance")
        _, shrinking = _scale_under(load, target, service, 1)
        after = load.watch(seconds / 2)
        failures = load.failures
    served = {
        f"{name}-{index}": served_by(at_last, (name, index)) - served_by(at_first, (name, index))
        for name, index in at_last
        if name == service
    }
    return Found(before, growing, grown, shrinking, after, served, failures, place.about)


def served_by(snapshots: Snapshots, instance: tuple[ServiceName, int]) -> int:
    """Return how many requests from the gateway an instance has served."""
    snapshot = snapshots.get(instance)
    if snapshot is None:
        return 0
    return int(
        sum(
            histogram.count
            for labels, histogram in snapshot.requests.items()
            if dict(labels)["route"].startswith(PUBLIC)
        )
    )


def _scale_under(
    load: Load, target: Target, service: ServiceName, replicas: int
) -> tuple[Stack, Stretch]:
    begun = time.monotonic()
    stack = _scale(target, service, replicas)
    return stack, load.stretch(begun, time.monotonic() + AFTER_SECONDS)


def _scale(target: Target, service: ServiceName, replicas: int) -> Stack:
    with shown(target) as show:
        return target.scale(service, replicas, show)


def report(service: ServiceName, replicas: int, found: Found) -> Report:
    """Judge the instances' shares and the errors that users saw."""
    stretches = {
        "1 instance": found.before,
        f"1 to {replicas}": found.growing,
        f"{replicas} instances": found.grown,
        f"{replicas} to 1": found.shrinking,
        "1 instance again": found.after,
    }
    total = sum(found.served.values())
    even = 1 / replicas
    shares = {name: count / total if total else 0.0 for name, count in found.served.items()}
    failed = sum(stretch.failed for stretch in stretches.values())
    requests = sum(stretch.requests for stretch in stretches.values())
    checks = [
        Check(
            f"share.{name}",
            f"{even * (1 - UNEVEN):.1%} to {even * (1 + UNEVEN):.1%}",
            f"{share:.1%} of {total}",
            abs(share - even) <= UNEVEN * even,
        )
        for name, share in shares.items()
    ]
    checks.append(Check("errors", "none", f"{failed} of {requests}", failed == 0))
    return Report(
        title=f"scaling {service}: 1, {replicas} and 1 instances under load",
        columns=COLUMNS,
        rows=[stretch.row(name) for name, stretch in stretches.items()],
        checks=checks,
        failures=found.failures,
        notes=[found.about],
        figures={
            "service": service,
            "replicas": replicas,
            "shares": shares,
            "stretches": {name: asdict(stretch) for name, stretch in stretches.items()},
        },
    )
