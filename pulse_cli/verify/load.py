"""A steady load while something is done to the stack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from pulse_cli.bench.drive import Drive
from pulse_cli.bench.identities import Seed, read_seed
from pulse_cli.bench.options import Options
from pulse_cli.bench.pacing import Pacer, Timeline
from pulse_cli.bench.place import Place
from pulse_cli.bench.plan import Identity
from pulse_cli.bench.run import first_error
from pulse_cli.bench.statistics import percentile
from pulse_cli.context import Root
from pulse_cli.errors import NotHealthy, PulseError
from pulse_cli.output import people
from pulse_cli.seed.graph import synthetic_graph
from pulse_cli.seed.seeding import seed_stack
from pulse_cli.stack.model import ServiceName, Stack

USERS = 50
POSTS_PER_USER = 5
LONGEST_SECONDS = 300.0
"""After which the load ends by itself."""

RAMP_SECONDS = 3.0
GRACE_SECONDS = 3.0
"""Past a request's timeout: its turn may have come late, and samples come twice a second."""

POLL_SECONDS = 0.1

MIXED: frozenset[ServiceName] = frozenset({"posts", "social"})
"""What the scenario `mixed` asks; the others are asked by `platform` alone."""


@dataclass(frozen=True)
class Stretch:
    """What the users saw of a stretch of time."""

    seconds: float
    requests: int
    failed: int
    p50_ms: float
    p95_ms: float
    last_failure: float | None
    """Seconds from the stretch's begin to the end of the last failed request."""

    def row(self, name: str) -> tuple[str, ...]:
        """The stretch as a line of a table."""
        return (
            name,
            f"{self.seconds:.1f}",
            str(self.requests),
            str(self.failed),
            f"{self.p50_ms:.1f}",
            f"{self.p95_ms:.1f}",
        )


COLUMNS = ("STRETCH", "SECONDS", "REQUESTS", "FAILED", "P50 MS", "P95 MS")


class Load:
    """The load that runs, and what came of it so far."""

    def __init__(self, drive: Drive, timeline: Timeline) -> None:
        self._drive = drive
        self._timeout = drive.plans[0].timeout
        self._pacers = [
            Pacer(index, plan.users, plan.period, plan.seed)
            for plan in drive.plans
            for index in plan.indexes
        ]
        for pacer in self._pacers:
            pacer.start(timeline)

    @property
    def failures(self) -> dict[str, int]:
        """How often each endpoint failed, by endpoint and reason."""
        return {
            f"{name}: {reason}": count for (name, reason), count in self._drive.failures.items()
        }

    def stretch(self, begun: float, ended: float) -> Stretch:
        """Return what was due in `[begun, ended)` (`time.monotonic`), when all of it is answered.

        What has no answer long after is a failure.

        Raises:
            NotHealthy: nothing of it was answered.
        """
        wanted = sum(pacer.slots_in(begun, ended) for pacer in self._pacers)
        late = ended + self._timeout + GRACE_SECONDS
        samples = self._drive.samples
        while len(inside := samples.within(begun, ended)) < wanted and time.monotonic() < late:
            time.sleep(POLL_SECONDS)
        if not inside:
            raise NotHealthy("the load stood still: no request was answered; see: pulse health")
        times = sorted(samples.latency[i] * 1000 for i in inside)
        failed = [samples.sent[i] + samples.latency[i] for i in inside if not samples.ok[i]]
        unanswered = max(0, wanted - len(inside))
        failed += [late] * unanswered
        return Stretch(
            seconds=ended - begun,
            requests=len(inside) + unanswered,
            failed=len(failed),
            p50_ms=percentile(times, 0.5),
            p95_ms=percentile(times, 0.95),
            last_failure=max(failed) - begun if failed else None,
        )

    def watch(self, seconds: float) -> Stretch:
        """Let the load run for some seconds from now and return what was seen."""
        begun = time.monotonic()
        return self.stretch(begun, begun + seconds)


@contextmanager
def under_load(place: Place, state: Path, service: ServiceName, rate: float) -> Iterator[Load]:
    """Send `rate` requests a second to the gateway for as long as the block runs.

    The load runs beside the block, so that the block can do what only a main thread can.

    Raises:
        ConfigError: the gateway would refuse the rate.
        NotHealthy: nobody can log in, or the load's pods hang.
        PulseError: a generator ended before its time.
    """
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_running(place, state, service, rate)) as load,
    ):
        yield load


@asynccontextmanager
async def _running(
    place: Place, state: Path, service: ServiceName, rate: float
) -> AsyncIterator[Load]:
    seed = read_seed(state)
    options = place.fit(
        Options(
            scenario="mixed" if service in MIXED else "platform",
            users=min(USERS, len(seed.users)),
            rate=rate,
            duration=LONGEST_SECONDS,
            ramp=RAMP_SECONDS,
            warmup=0.0,
            seed=1,
            processes=1,
        )
    )
    plan = options.plan(seed, await _identities(place, seed, options), place.gateway)
    async with place.drive(options.plans(plan), probed=False) as drive:
        timeline = await drive.begin()
        gathering = asyncio.create_task(drive.gather())
        try:
            await asyncio.sleep(timeline.opens - time.monotonic())
            yield Load(drive, timeline)
            if gathering.done():
                gathering.result()  # raises why a generator died
                raise PulseError("the load ended before the verification did")
        finally:
            gathering.cancel()
            await asyncio.wait([gathering])


async def _identities(place: Place, seed: Seed, options: Options) -> Sequence[Identity]:
    try:
        return await place.identities(seed, options, lambda: None)
    except* PulseError as group:
        raise first_error(group) from None
    raise AssertionError("unreachable")


def prepare(root: Root, stack: Stack) -> None:
    """Seed a few people when a running stack holds none.

    Raises:
        NotHealthy: the gateway cannot be reached.
    """
    try:
        read_seed(root.state)
    except NotHealthy:
        people().print(f"the stack is empty: seeding {USERS} people")
        graph = synthetic_graph(USERS, seed=1)
        reached = root.reached(stack)
        seed_stack(
            reached, root.state, graph, posts_per_user=POSTS_PER_USER, seed=1, console=people()
        )
