"""Starting the processes that measure, gathering what they send, and stopping them for certain."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.plan import Plan
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.bench.samples import Samples
from pulse_cli.errors import PulseError

LINE_LIMIT = 64 * 1024 * 1024
"""Bytes of one report of a generator; half a busy second takes 50 KB."""

HEAD_START = 0.3
"""Seconds between telling the generators the origin and the origin itself."""

STOP_SECONDS = 2.0


@contextlib.asynccontextmanager
async def child(module: str) -> AsyncIterator[Process]:
    """Run a module of ours in a process that ends with this block, however the block ends.

    It is in a session of its own, so that a terminal's Ctrl-C reaches only us, and it ends by
    itself when its standard input does, so that not even our being killed leaves it behind.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=LINE_LIMIT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def tell(process: Process, line: str) -> None:
    """Write a line to a child's standard input; one that has died is noticed when it is read."""
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(line.encode() + b"\n")
            await process.stdin.drain()


async def hear(process: Process) -> bytes:
    """Read a line of a child's standard output. Raises `PulseError` when it has ended."""
    if process.stdout is not None and (line := await process.stdout.readline()):
        return line
    said = await process.stderr.read() if process.stderr is not None else b""
    last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    raise PulseError(f"a process of the bench ended before its time: {last}")


class Drive(abc.ABC):
    """The generators of one run, wherever they are, and what they have sent so far."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        """Take one plan for each generator."""
        self.plans = plans
        self.samples = Samples()
        self.endpoints: list[str] = []
        self.failures: Counter[tuple[str, str]] = Counter()
        """By endpoint and reason, over the whole run."""
        self.intended = 0
        """Requests that the pacing wants in the window."""
        self.unanswered = 0
        """Requests without an answer long after the window closed."""
        self.cpu_warning = False
        """Whether Locust itself called a generator overloaded."""
        self._origin = 0.0
        self._cpu: list[list[tuple[float, float]]] = [[] for _ in plans]

    @abc.abstractmethod
    async def __aenter__(self) -> Self:
        """Start the generators and wait until all of their users are made."""

    @abc.abstractmethod
    async def __aexit__(self, *_: object) -> None:
        """Stop the generators."""

    @abc.abstractmethod
    async def begin(self) -> Timeline:
        """Give all generators one origin, shortly from now."""

    @abc.abstractmethod
    async def gather(self) -> None:
        """Take in what the generators send until all of them are done.

        Raises:
            PulseError: one ended before its time.
        """

    def _timeline(self, origin: float) -> Timeline:
        plan, self._origin = self.plans[0], origin
        return Timeline(origin, plan.ramp, plan.warmup, plan.duration)

    def _take(self, number: int, message: dict[str, Any]) -> bool:
        """Take in one message of a generator; return whether it was its last.

        Generators on other machines have clocks of their own, so each tells its own origin.
        """
        if message["kind"] == "done":
            self.intended += message["intended"]
            self.unanswered += message["unanswered"]
            self.cpu_warning |= message["cpu_warning"]
            return True
        numbering = {}
        for theirs, name in enumerate(message["endpoints"]):
            if name not in self.endpoints:
                self.endpoints.append(name)
            numbering[theirs] = self.endpoints.index(name)
        shift = self._origin - message["origin"]
        self.samples.absorb(message["columns"], numbering, shift)
        for name, reason, count in message["failures"]:
            self.failures[name, reason] += count
        self._cpu[number].append((message["at"] + shift, message["cpu"]))
        return False

    def cpu_shares(self, timeline: Timeline) -> list[float]:
        """Return how much of a core each generator used in the window (0 to 1).

        One that told nothing in it, for it was short of CPU time itself, is left out.
        """
        shares = []
        for reports in self._cpu:
            inside = [(at, cpu) for at, cpu in reports if timeline.opens <= at <= timeline.closes]
            if len(inside) > 1:
                (first, before), (last, after) = inside[0], inside[-1]
                shares.append((after - before) / (last - first))
        return shares


class Processes(Drive):
    """Generators that are processes of this machine."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        super().__init__(plans)
        self._processes: list[Process] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the processes, and wait until all of their users are made."""
        async with contextlib.AsyncExitStack() as stack:
            for plan in self.plans:
                process = await stack.enter_async_context(child("pulse_cli.bench.generator"))
                self._processes.append(process)
                await tell(process, plan.model_dump_json())
            for process in self._processes:
                await hear(process)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the processes."""
        await self._stack.aclose()

    async def begin(self) -> Timeline:
        """Tell all of them one origin."""
        timeline = self._timeline(time.monotonic() + HEAD_START)
        for process in self._processes:
            await tell(process, json.dumps({"origin": timeline.origin}))
        return timeline

    async def gather(self) -> None:
        """Take in what they send until all of them are done."""
        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(self._processes):
                group.create_task(self._listen(number, process))

    async def _listen(self, number: int, process: Process) -> None:
        while not self._take(number, json.loads(await hear(process))):
            pass


async def probe(plan: ProbePlan) -> dict[str, list[float]]:
    """Measure the gateway's overhead in pairs, in a process of its own."""
    async with child("pulse_cli.bench.probe") as process:
        await tell(process, plan.model_dump_json())
        times: dict[str, list[float]] = json.loads(await hear(process))
        return times
