"""The package of the load: Locust's master and workers, for one bench."""

from __future__ import annotations

from importlib.metadata import version

from pulse_cli.bench.plan import Plan
from pulse_cli.render.jinja import fill
from pulse_cli.render.kubernetes.kustomize import overlay
from pulse_cli.stack.model import Stack

NAME = "bench"
DOOR = f"{NAME}-gateway"
"""The Service that the load goes through: the gateway's own has TLS alone where it is public."""

DOOR_PORT = 80
LOCUST_PORT = 5557
PLAN_FOLDER = "/run/secrets/pulse"
LOCUSTFILE = "/app/pulse_cli/bench/locustfile.py"
JOIN_SECONDS = 240
"""How long the master waits for its workers, whose image may have to be pulled."""

STOP_SECONDS = 15
SPARE_SECONDS = 5
"""The last answers come after the window closes."""


def load_files(stack: Stack, plan: Plan) -> dict[str, str]:
    """Return the package by path; the plan itself, which holds tokens, is a Secret beside it."""
    workers = min(stack.kubernetes.bench_workers, plan.users)
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
    jobs = fill(
        "kubernetes/bench/bench.yaml.j2",
        k=stack.kubernetes,
        image=image(stack),
        name=NAME,
        port=LOCUST_PORT,
        folder=PLAN_FOLDER,
        workers=workers,
        seconds=round(seconds) + JOIN_SECONDS + stack.kubernetes.timeout_seconds,
        master=master,
        worker=[*common, "--worker", f"--master-host={NAME}-master"],
    )
    about = "The load of one bench."
    return {
        "bench.yaml": jobs,
        "kustomization.yaml": overlay(stack, about, ["bench.yaml"], (), {}),
    }


def door(stack: Stack) -> str:
    """Return the Service that the load goes through."""
    return fill("kubernetes/bench/door.yaml.j2", k=stack.kubernetes, name=NAME, port=DOOR_PORT)


def image(stack: Stack) -> str:
    """Return the image of the load's pods."""
    return stack.kubernetes.bench_image or f"pulse-bench:{version('pulse-platform')}"
