"""The load of a bench in a cluster: what Locust's master and workers run.

    python -m locust -f pulse_cli/bench/locustfile.py --headless --master …
    python -m locust -f pulse_cli/bench/locustfile.py --worker --master-host=…

Both read the plan from the folder that `PULSE_BENCH_PLAN` names. Workers are generators as on one
machine, each with its part of the users. The master prints every message of theirs as a line of
JSON on its standard output, which is its log, and measures the gateway's overhead when it is told
to. Nothing of it goes through Locust's own statistics, which round.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import gevent
from gevent.subprocess import PIPE, Popen
from locust import events
from locust.runners import MasterRunner

from pulse_cli.bench.generator import Generator, scenario_of
from pulse_cli.bench.plan import LINE, Plan
from pulse_cli.bench.probe import ProbePlan

FOLDER = "PULSE_BENCH_PLAN"
WORKERS = "PULSE_BENCH_WORKERS"
HEAD_START = 2.0
"""Seconds between all users being there and the origin of the timeline."""

TICK_SECONDS = 0.1
"""How often the master says how long it is to the origin. The log takes a while to whoever reads
it, and the quickest of the ticks tells best when the origin is by that one's clock."""

folder = Path(os.environ[FOLDER])
plan = Plan.model_validate_json((folder / "plan.json").read_bytes())
Load = scenario_of(plan)


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: object) -> None:
    """Lead the workers, or be one."""
    (lead if isinstance(environment.runner, MasterRunner) else work)(environment)


def lead(environment: Any) -> None:
    """Print what workers send, and when their timeline begins."""
    runner = environment.runner

    def relay(msg: Any, **_: object) -> None:
        tell(worker=runner.get_worker_index(msg.node_id), **msg.data)

    runner.register_message("pulse", relay)
    environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(count_down))
    environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(probe))


def count_down() -> None:
    """Say until the origin how long it is to it."""
    origin = time.monotonic() + HEAD_START
    while (left := origin - time.monotonic()) > 0:
        tell(kind="tick", left=left)
        gevent.sleep(TICK_SECONDS)
    tell(kind="begun")


def probe() -> None:
    """Measure the gateway's overhead in a process of its own, as far as it is wanted."""
    file = folder / "probe.json"
    if not file.exists():
        return
    opens = time.monotonic() + HEAD_START + plan.ramp + plan.warmup
    told = ProbePlan.model_validate_json(file.read_bytes())
    told = told.model_copy(update={"opens": opens, "closes": opens + plan.duration})
    command = [sys.executable, "-m", "pulse_cli.bench.probe"]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        process.stdin.write(told.model_dump_json().encode() + b"\n")
        process.stdin.flush()  # it stays open: the probe ends with it
        line = process.stdout.readline()
    pairs = json.loads(line) if line else {"at": [], "gateway": [], "direct": []}
    tell(kind="pairs", pairs=pairs | {"at": [at - opens for at in pairs["at"]]})


def work(environment: Any) -> None:
    """Be a generator, which begins when all users of all workers are there."""
    runner = environment.runner

    def send(kind: str, **content: object) -> None:
        runner.send_message("pulse", {"kind": kind, **content})

    # Its number is known once it is asked for users.
    indexes = lambda: count(runner.worker_index, int(os.environ[WORKERS]))  # noqa: E731
    generator = Generator(plan, environment, indexes, send)
    environment.events.spawning_complete.add_listener(
        lambda **_: gevent.spawn(generator.run, time.monotonic() + HEAD_START)
    )


def tell(**message: object) -> None:
    """Print one message."""
    print(LINE + json.dumps(message), flush=True)
