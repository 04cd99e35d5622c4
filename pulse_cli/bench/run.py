"""The order of a run: log in, calibrate, then drive, probe and scrape at once."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pulse_cli.bench.drive import Drive, child, hear, probe
from pulse_cli.bench.identities import log_in, read_seed
from pulse_cli.bench.measure import Client
from pulse_cli.bench.options import Options
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.plan import OWN_SOURCES, Plan, source_address
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.bench.processes import Usage, usage
from pulse_cli.bench.scrape import Snapshots, Texts, read, scrape
from pulse_cli.bench.watch import Stage, Watch
from pulse_cli.errors import PulseError
from pulse_cli.stack.model import ROUTES, Stack

USAGE_AHEAD, SCRAPE_AHEAD = 1.5, 0.4
"""Seconds before the window opens at which processes are looked at and services asked: the first
takes CPU time from them, and little of what that delays should count as theirs."""

PROBE_SOURCE = 100
"""Which of the bench's own addresses the probe sends from (the first few log in)."""

PROBE_PATH = next(route.probe for route in ROUTES if route.prefix == "/api/v1/users")


@dataclass(frozen=True)
class Observation:
    """Everything that a run measured."""

    started: datetime
    load_average: float
    """Of one minute, before the run."""
    plan: Plan
    processes: int
    floor: Client
    client: Client
    before: Snapshots
    after: Snapshots
    usage_before: Usage
    usage_after: Usage
    pairs: dict[str, list[float]]


async def run(stack: Stack, state: Path, options: Options, watch: Watch) -> Observation:
    """Run a bench against a running stack.

    Raises:
        ConfigError: there is no such scenario, or tokens live shorter than the run.
        NotHealthy: the stack is not seeded, or nobody can log in.
        PulseError: a process of the bench ended before its time.
    """
    options.check()
    try:
        with watch.shown():
            return await _run(stack, state, options, watch)
    except* PulseError as group:
        raise first_error(group) from None
    raise AssertionError("unreachable")


def first_error(group: BaseExceptionGroup[PulseError]) -> PulseError:
    """Return one of the errors that tasks of a group raised; one sentence is enough for people."""
    inner = group.exceptions[0]
    return first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _run(stack: Stack, state: Path, options: Options, watch: Watch) -> Observation:
    seed = read_seed(state)
    started, load_average = datetime.now(UTC), os.getloadavg()[0]
    gateway = (numeric(stack.gateway.host), stack.gateway.port)
    accounts = min(options.users, len(seed.users))
    with watch.stage("log in", accounts, f"{accounts} seeded users") as stage:
        identities = await log_in(
            seed, accounts, gateway, lasting=options.seconds, advance=stage.step
        )
    plan = options.plan(seed, identities, gateway)
    with watch.stage("calibrate", options.floor_seconds, "against a trivial server") as stage:
        floor = await _measure_floor(options, plan, stage)
    seconds = options.ramp + options.warmup + options.duration
    said = f"{options.users} users, {options.rate:g} requests/s, {seconds:.0f} s"
    with watch.stage(options.scenario, seconds, said) as stage:
        async with Drive(options.plans(plan)) as drive:
            timeline = await drive.begin()
            async with asyncio.TaskGroup() as group:
                gathering = group.create_task(drive.gather())
                group.create_task(_show(stage, drive, timeline, gathering))
                opening = group.create_task(_before(stack, state, timeline))
                closing = group.create_task(_at_close(state, timeline))
                pairs = group.create_task(probe(_probe_plan(stack, plan, timeline)))
        before, usage_before = opening.result()
        return Observation(
            started=started,
            load_average=load_average,
            plan=plan,
            processes=len(drive.plans),
            floor=floor,
            client=Client(drive, timeline),
            before=read(before),
            after=read(await scrape(stack)),
            usage_before=usage_before,
            usage_after=closing.result(),
            pairs=pairs.result(),
        )


def numeric(host: str) -> str:
    """Return the IPv4 address to reach a gateway that listens on `host`."""
    return "127.0.0.1" if host == "0.0.0.0" else socket.gethostbyname(host)  # noqa: S104


async def _measure_floor(options: Options, plan: Plan, stage: Stage) -> Client:
    async with child("pulse_cli.bench.floor") as server:
        port = int(await hear(server))
        async with Drive(options.plans(options.floor_plan(plan, port))) as drive:
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


async def _before(stack: Stack, state: Path, timeline: Timeline) -> tuple[Texts, Usage]:
    await asyncio.sleep(timeline.opens - USAGE_AHEAD - time.monotonic())
    used = usage(state)
    await asyncio.sleep(timeline.opens - SCRAPE_AHEAD - time.monotonic())
    return await scrape(stack), used


async def _at_close(state: Path, timeline: Timeline) -> Usage:
    await asyncio.sleep(timeline.closes - time.monotonic())
    return usage(state)


def _probe_plan(stack: Stack, plan: Plan, timeline: Timeline) -> ProbePlan:
    return ProbePlan(
        gateway=(plan.host, plan.port),
        instances=[
            ("127.0.0.1", stack.instance_port("users", index))
            for index in range(stack.services.users.replicas)
        ],
        path=PROBE_PATH,
        token=plan.identities[0].token,
        source=source_address(plan.host, OWN_SOURCES, PROBE_SOURCE),
        opens=timeline.opens,
        closes=timeline.closes,
    )
