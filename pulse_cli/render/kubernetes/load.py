"""The package of the load: Locust's master and workers, for one bench or verification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version

from pulse_cli.bench.plan import Plan
from pulse_cli.render.jinja import fill
from pulse_cli.stack.model import Stack

NAME = "bench"
MASTER, WORKER = f"{NAME}-master", f"{NAME}-worker"
DOOR = f"{NAME}-gateway"
"""The Service that the load goes through: the gateway's own has TLS alone where it is public."""

DOOR_PORT = 80
LOCUST_PORT = 5557
PLAN_FOLDER = "/run/secrets/pulse"
LOCUSTFILE = "/app/pulse_cli/bench/locustfile.py"
JOIN_SECONDS = 240
"""How long the master waits for its workers, whose image may have to be pulled."""

STOP_SECONDS = 15
SPARE_SECONDS = 60
"""For the count-down before the first request and the last answers after the window, on nodes that
are short of CPU time; the pods are deleted as soon as all is said."""

LEAST_MILLICORES = 100
RATE_PER_CORE = 2000
"""Requests a second that a worker makes well with one core; it is given twice what it needs."""


def jobs(stack: Stack, plans: Sequence[Plan]) -> str:
    """Return the Jobs and who may reach whom; a worker for each plan.

    What they are told, which holds tokens, is a Secret beside them: `plan.json`, and `probe.json`
    when the master shall measure the gateway's overhead.
    """
    plan, workers = plans[0], len(plans)
    seconds = plan.ramp + plan.warmup + plan.duration + plan.timeout + SPARE_SECONDS
    common = ["locust", "-f", LOCUSTFILE, "--loglevel=WARNING", f"--stop-timeout={STOP_SECONDS}"]
    master = [
        *common,
        "--master",
        "--headless",
        "--only-summary",
        f"--expect-workers={workers}",
        f"--expect-workers-max-wait={JOIN_SECONDS}",
        f"--users={plan.users}",
        f"--spawn-rate={plan.users}",
        f"--run-time={seconds:.0f}s",
        "--exit-code-on-error=0",
    ]
    return fill(
        "kubernetes/bench/bench.yaml.j2",
        k=stack.kubernetes,
        image=image(stack),
        name=NAME,
        port=LOCUST_PORT,
        folder=PLAN_FOLDER,
        workers=workers,
        seconds=round(seconds) + JOIN_SECONDS + stack.kubernetes.timeout_seconds,
        probed={"name": "users", "port": stack.services.users.port},
        master=master,
        worker=[*common, "--worker", f"--master-host={MASTER}"],
        millicores=max(LEAST_MILLICORES, math.ceil(plan.rate / workers / RATE_PER_CORE * 1000)),
    )


def door(stack: Stack) -> str:
    """Return the Service that the load goes through."""
    return fill("kubernetes/bench/door.yaml.j2", k=stack.kubernetes, name=NAME, port=DOOR_PORT)


def image(stack: Stack) -> str:
    """Return the image of the load's pods."""
    return stack.kubernetes.bench_image or f"pulse-bench:{version('pulse-platform')}"
