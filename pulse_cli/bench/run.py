"""The order of a run: log in, calibrate, then drive, probe and scrape at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulse_cli.bench.drive import Drive, Processes, child, hear
from pulse_cli.bench.identities import read_seed
from pulse_cli.bench.measure import Client
from pulse_cli.bench.options import Options
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.place import Pairs, Place
from pulse_cli.bench.plan import Plan
from pulse_cli.bench.processes import Usage
from pulse_cli.bench.scrape import Snapshots, Texts, read
from pulse_cli.bench.watch import Stage, Watch
from pulse_cli.errors import PulseError

USAGE_AHEAD, SCRAPE_AHEAD = 1.5, 0.4
"""Seconds before the window opens at which processes are looked at and services asked: the first
takes CPU time from them, and little of what that delays should count as theirs."""


@dataclass(frozen=True)
class Observation:
    """Everything that a run measured."""

    started: datetime
    environment: dict[str, Any]
    """What is known of the machines before the run."""
    plan: Plan
    generators: int
    floor: Client | None
    """None where the generator cannot be calibrated."""
    client: Client
    before: Snapshots
    after: Snapshots
    usage: tuple[Usage, Usage] | None
    """Before the window and after it; None where processes cannot be looked at."""
    pairs: Pairs


async def run(place: Place, state: Path, options: Options, watch: Watch) -> Observation:
    """Run a bench against a running stack.

    Raises:
        ConfigError: there is no such scenario, tokens live shorter than the run, or the gateway
            would refuse the rate.
        NotHealthy: the stack is not seeded, nobody can log in, or the load's pods hang.
        PulseError: a process of the bench ended before its time.
    """
    options.check()
    try:
        with watch.shown():
            return await _run(place, state, place.fit(options), watch)
    except* PulseError as group:
        raise first_error(group) from None
    raise AssertionError("unreachable")


def first_error(group: BaseExceptionGroup[PulseError]) -> PulseError:
    """Return one of the errors that tasks of a group raised; one sentence is enough for people."""
    inner = group.exceptions[0]
    return first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _run(place: Place, state: Path, options: Options, watch: Watch) -> Observation:
    seed = read_seed(state)
    started, environment = datetime.now(UTC), place.environment()
    accounts = min(options.users, len(seed.users))
    with watch.stage("log in", accounts, f"{accounts} seeded users") as stage:
        identities = await place.identities(seed, options, stage.step)
    plan = options.plan(seed, identities, place.gateway)
    await place.scrape()  # the ways to the instances are found before they are measured
    floor = None
    if place.calibrated:
        with watch.stage("calibrate", options.floor_seconds, "against a trivial server") as stage:
            floor = await _measure_floor(options, plan, stage)
    seconds = options.ramp + options.warmup + options.duration
    said = f"{options.users} users, {options.rate:g} requests/s, {seconds:.0f} s"
    with watch.stage(options.scenario, seconds, said) as stage:
        async with place.drive(options.plans(plan), probed=True) as drive:
            timeline = await drive.begin()
            async with asyncio.TaskGroup() as group:
                gathering = group.create_task(drive.gather())
                group.create_task(_show(stage, drive, timeline, gathering))
                opening = group.create_task(_before(place, timeline))
                closing = group.create_task(_at_close(place, timeline))
                pairs = group.create_task(place.probe(drive, timeline))
            after = await place.scrape()
        before, used_before = opening.result()
        used_after = closing.result()
        return Observation(
            started=started,
            environment=environment,
            plan=plan,
            generators=len(drive.plans),
            floor=floor,
            client=Client(drive, timeline),
            before=read(before),
            after=read(after),
            usage=(used_before, used_after) if used_before and used_after else None,
            pairs=pairs.result(),
        )


async def _measure_floor(options: Options, plan: Plan, stage: Stage) -> Client:
    async with child("pulse_cli.bench.floor") as server:
        port = int(await hear(server))
        async with Processes(options.plans(options.floor_plan(plan, port))) as drive:
            timeline = await drive.begin()
            async with asyncio.TaskGroup() as group:
                gathering = group.create_task(drive.gather())
                group.create_task(_show(stage, drive, timeline, gathering))
    return Client(drive, timeline)


async def _show(
    stage: Stage, drive: Drive, timeline: Timeline, gathering: asyncio.Task[None]
) -> None:
    while not gathering.done():
        stage.load(drive, timeline)
        await asyncio.wait([gathering], timeout=1.0)


async def _before(place: Place, timeline: Timeline) -> tuple[Texts, Usage | None]:
    await asyncio.sleep(timeline.opens - USAGE_AHEAD - time.monotonic())
    used = place.usage()
    await asyncio.sleep(timeline.opens - SCRAPE_AHEAD - time.monotonic())
    return await place.scrape(), used


async def _at_close(place: Place, timeline: Timeline) -> Usage | None:
    await asyncio.sleep(timeline.closes - time.monotonic())
    return place.usage()
