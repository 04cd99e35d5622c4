"""Where a bench makes its load, and what it can see of the stack from there."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil

from pulse_cli.bench.drive import Drive, Processes, probe
from pulse_cli.bench.identities import Seed, log_in
from pulse_cli.bench.options import Options
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.plan import OWN_SOURCES, Identity, Plan, source_address
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.bench.processes import Usage, usage
from pulse_cli.bench.scrape import Texts, doors, scrape
from pulse_cli.stack.model import ROUTES, Stack

PROBE_SOURCE = 100
"""Which of the bench's own addresses the probe sends from (the first few log in)."""

PROBE_PATH = next(route.probe for route in ROUTES if route.prefix == "/api/v1/users")
"""What the gateway's overhead is measured with: a GET that the users service answers."""

Pairs = dict[str, list[float]]
"""What the probe measured: `at`, `gateway` and `direct`, in seconds, of one length."""


class Place(Protocol):
    """Where the load is made; one for each running stack."""

    calibrated: bool
    """Whether the generator can be measured here without the stack."""

    settle_seconds: float
    """After which a new instance has its share of requests: its caches and pools are warm, and
    whoever sends requests knows of it."""

    about: str
    """Where the load is and what it passes, as a sentence for people."""

    @property
    def gateway(self) -> tuple[str, int]:
        """The gateway's IPv4 address and port, as the load reaches it."""

    def fit(self, options: Options) -> Options:
        """Return the options with as many generators as this place needs for them.

        Raises:
            ConfigError: the gateway would refuse the rate, whatever makes it.
        """

    async def identities(
        self, seed: Seed, options: Options, advance: Callable[[], None]
    ) -> Sequence[Identity]:
        """Return who the users act as; `advance` after each of them."""

    def drive(self, plans: Sequence[Plan], probed: bool) -> Drive:
        """Return the generators of a run, and of its probe if it is `probed`."""

    async def probe(self, drive: Drive, timeline: Timeline) -> Pairs:
        """Return what the probe measured of the gateway while the window was open."""

    async def scrape(self) -> Texts:
        """Return every instance's metrics."""

    def usage(self) -> Usage | None:
        """Return what processes have used; `None` where they cannot be looked at."""

    def environment(self) -> dict[str, Any]:
        """Return what is known of the machines, by the names of the report's `Environment`."""


class Here:
    """The machine that the stack runs on."""

    calibrated = True
    settle_seconds = 2.0
    about = "the load is made on the machine that the stack runs on"

    def __init__(self, stack: Stack, state: Path) -> None:
        """Take a stack that runs here, and its state folder."""
        self._stack = stack
        self._state = state
        self.gateway = (numeric(stack.gateway.host), stack.gateway.port)

    def fit(self, options: Options) -> Options:
        """Return them as they are: each user has an address of its own here."""
        return options

    async def identities(
        self, seed: Seed, options: Options, advance: Callable[[], None]
    ) -> Sequence[Identity]:
        """Log them in."""
        count = min(options.users, len(seed.users))
        return await log_in(seed, count, self.gateway, lasting=options.seconds, advance=advance)

    def drive(self, plans: Sequence[Plan], probed: bool) -> Drive:
        """Return a process for each plan; the probe is another."""
        return Processes(plans)

    async def probe(self, drive: Drive, timeline: Timeline) -> Pairs:
        """Measure the gateway in a process of its own."""
        plan = drive.plans[0]
        users = range(self._stack.services.users.replicas)
        return await probe(
            ProbePlan(
                gateway=self.gateway,
                instances=[("127.0.0.1", self._stack.instance_port("users", i)) for i in users],
                path=PROBE_PATH,
                token=plan.identities[0].token,
                source=source_address(plan.host, OWN_SOURCES, PROBE_SOURCE),
                opens=timeline.opens,
                closes=timeline.closes,
            )
        )

    async def scrape(self) -> Texts:
        """Return every instance's metrics."""
        return await scrape(doors(self._stack))

    def usage(self) -> Usage | None:
        """Return what the processes of stack and bench have used."""
        return usage(self._state)

    def environment(self) -> dict[str, Any]:
        """Return what this machine is."""
        return {
            "platform": platform.platform(),
            "cpu": _cpu_model(),
            "cores": psutil.cpu_count() or 1,
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "load_average": os.getloadavg()[0],
        }


def place_of(stack: Stack, state: Path) -> Place:
    """Return where the load for a running stack is made."""
    if stack.target == "kubernetes":
        from pulse_cli.targets.kubernetes.load import Cluster

        return Cluster(stack, state)
    return Here(stack, state)


def numeric(host: str) -> str:
    """Return the IPv4 address to reach a gateway that listens on `host`."""
    return "127.0.0.1" if host == "0.0.0.0" else socket.gethostbyname(host)  # noqa: S104


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
