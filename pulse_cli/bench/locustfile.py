"""The load of a bench in a cluster: what Locust's master and workers run.

    python -m locust -f pulse_cli/bench/locustfile.py --headless --master …
    python -m locust -f pulse_cli/bench/locustfile.py --worker --master-host=…

Both read the plan from the file that `PULSE_BENCH_PLAN` names. The users keep to their slots as
they do on one machine; only what was intended in the measured window is counted. In the end the
master prints one line of JSON. Locust's own histograms round: 100-999 ms to 10 ms.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gevent.event import Event
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from pulse_cli.bench.pacing import Pacer, Timeline
from pulse_cli.bench.plan import SCENARIO_ERROR, Plan
from scenarios.user import Person, PulseUser, Seat, World

PLAN = "PULSE_BENCH_PLAN"
WORKERS = "PULSE_BENCH_WORKERS"
RESULT = "pulse-bench-result "
"""Stands before the master's line of JSON."""

HEAD_START = 0.5
"""Seconds between the users being there and the origin of the timeline."""

LATE_SECONDS = 0.05
"""A request that a worker sends later than this was held up by the worker itself."""

plan = Plan.model_validate_json(Path(os.environ[PLAN]).read_bytes())
begin = Event()
counted: Counter[str] = Counter()
pacers: list[Pacer] = []
window: list[float] = []

Load: type[PulseUser] = importlib.import_module(plan.scenario).Scenario
Load.world = World(
    address=(plan.host, plan.port),
    timeout=plan.timeout,
    people=plan.people,
    password=plan.password.get_secret_value(),
    run=plan.run,
    seed=plan.seed,
    begin=begin,
)


def seats(worker: int, workers: int) -> Iterator[Seat]:
    """Yield the seats of one of the workers: every `workers`-th user."""
    index = worker
    while True:
        who = plan.identity(index)
        pacer = Pacer(index, plan.users, plan.period, plan.seed)
        pacers.append(pacer)
        yield Seat(index, Person(who.id, who.username, who.token.get_secret_value()), pacer, None)
        index += workers


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: object) -> None:
    """Count by our rules in workers, and gather what they counted in the master."""
    if isinstance(environment.runner, MasterRunner):
        environment.events.worker_report.add_listener(
            lambda client_id, data: counted.update(data.get("counted", {}))
        )
        environment.events.quitting.add_listener(lambda environment, **_: tell(environment))
        return
    environment.events.request = type(environment.events.request)()
    environment.events.request.add_listener(
        lambda **told: count(environment, **told)  # what Locust itself counts is not asked for
    )
    environment.events.user_error.add_listener(
        lambda exception, **_: environment.stats.log_error(
            SCENARIO_ERROR, SCENARIO_ERROR, f"{type(exception).__name__}: {exception}"
        )
    )
    environment.events.report_to_master.add_listener(report)
    environment.events.spawning_complete.add_listener(lambda **_: start())
    if isinstance(environment.runner, WorkerRunner):
        Load.seats = lazy_seats(environment)


def lazy_seats(environment: Any) -> Iterator[Seat]:
    """Yield this worker's seats; its number is known once it is asked for users."""
    yield from seats(environment.runner.worker_index, int(os.environ[WORKERS]))


def start() -> None:
    """Begin the timeline, once all users of this worker are there."""
    if begin.is_set():
        return
    timeline = Timeline(time.monotonic() + HEAD_START, plan.ramp, plan.warmup, plan.duration)
    for pacer in pacers:
        pacer.start(timeline)
        counted["intended"] += pacer.slots_in(timeline.opens, timeline.closes)
    window[:] = [timeline.opens, timeline.closes]
    Load.world.closes = timeline.closes
    begin.set()


def count(
    environment: Any,
    *,
    request_type: str,
    name: str,
    response_time: float,
    response_length: int,
    context: dict[str, float],
    exception: object = None,
    **_: object,
) -> None:
    """Count a request that was intended in the window."""
    if not window[0] <= context["intended"] < window[1]:
        return
    environment.stats.log_request(request_type, name, response_time, response_length)
    if exception is not None:
        environment.stats.log_error(request_type, name, str(exception))
    if context["late"] > LATE_SECONDS:
        counted["late"] += 1


def report(client_id: str, data: dict[str, Any]) -> None:
    """Send the master what was counted since the last time."""
    data["counted"] = dict(counted)
    counted.clear()


def tell(environment: Any) -> None:
    """Print what all workers measured."""
    total = environment.stats.total
    entries = {
        f"{entry.method} {entry.name}": {
            "requests": entry.num_requests,
            "failures": entry.num_failures,
            "p50_ms": entry.get_response_time_percentile(0.5) or 0,
            "p95_ms": entry.get_response_time_percentile(0.95) or 0,
            "p99_ms": entry.get_response_time_percentile(0.99) or 0,
        }
        for entry in (*environment.stats.entries.values(), total)
        if entry.num_requests
    }
    result = {
        "intended": counted["intended"],
        "late": counted["late"],
        "total": entries.pop(f"{total.method} {total.name}", None),
        "endpoints": entries,
        "errors": Counter(
            {str(error.error): error.occurrences for error in environment.stats.errors.values()}
        ),
    }
    print(RESULT + json.dumps(result), flush=True)
