"""The process that is Locust: `python -m pulse_cli.bench.generator`.

It is told its plan in the first line of its standard input, makes its users, says that it is
ready, and starts them when the second line gives the origin of the timeline. Twice a second it
sends its samples. Locust provides users, tasks, weights and events; each request's event feeds the
exact sample store instead of Locust's own statistics, which round (100-999 ms to 10 ms).

When its standard input ends, whoever started it has heard enough or is gone, and it exits.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import gevent
from gevent.event import Event
from gevent.fileobject import FileObjectPosix
from locust.env import Environment

from pulse_cli.bench.pacing import Pacer, Timeline
from pulse_cli.bench.plan import SCENARIO_ERROR, Plan
from pulse_cli.bench.samples import Samples
from scenarios.user import Person, PulseUser, Seat, World

REPORT_SECONDS = 0.5
BACKLOG_GRACE = 2.0
"""Seconds past the request timeout after which a user that still waits is stopped."""


class Send(Protocol):
    """Tells whoever started the run."""

    def __call__(self, kind: str, **content: object) -> None:
        """Send one message: its kind, and what it says as JSON knows it."""


class Recorder:
    """Keeps what Locust's request events tell."""

    def __init__(self) -> None:
        self.samples = Samples()
        self.names: list[str] = []
        self.failures: Counter[tuple[str, str]] = Counter()
        self._index: dict[tuple[str, str], int] = {}

    def on_request(
        self,
        *,
        request_type: str,
        name: str,
        response_time: float,
        context: dict[str, float],
        exception: object = None,
        response: Any = None,
        **_: object,
    ) -> None:
        """Take one request (Locust's event `request`)."""
        index = self._index.get((request_type, name))
        if index is None:
            index = self._index[request_type, name] = len(self.names)
            self.names.append(f"{request_type} {name}")
        self.samples.add(
            index,
            intended=context["intended"],
            sent=context["sent"],
            latency=response_time / 1000,
            late=context["late"],
            ok=exception is None,
        )
        if exception is not None:
            self.failures[self.names[index], _reason(exception, response)] += 1

    def on_scenario_error(self, exception: Exception, **_: object) -> None:
        """Take an exception that a scenario's own code raised (Locust's event `user_error`)."""
        self.failures[SCENARIO_ERROR, f"{type(exception).__name__}: {exception}"] += 1

    def drain(self) -> dict[str, object]:
        """Return everything new, ready for the pipe."""
        failures = [[name, reason, count] for (name, reason), count in self.failures.items()]
        self.failures.clear()
        return {"endpoints": self.names, "columns": self.samples.drain(), "failures": failures}


def _reason(exception: object, response: Any) -> str:
    """Name a failure by its status and the problem's code, which group; details would not."""
    if response is None or not response.status:
        return str(exception)
    try:
        return f"{response.status} {response.json()['code']}"
    except (ValueError, KeyError, TypeError):
        return str(response.status)


class Generator:
    """One process's share of the users."""

    def __init__(
        self, plan: Plan, environment: Environment, indexes: Callable[[], Iterable[int]], send: Send
    ) -> None:
        """Prepare a Locust environment, whose runner makes the users.

        Args:
            plan: what the run is.
            environment: Locust's, with its runner.
            indexes: the users of this process; asked for once the first is made.
            send: tells whoever started the run.
        """
        self._plan = plan
        self._indexes = indexes
        self._send = send
        self._recorder = Recorder()
        self._begin = Event()
        self._saturated = False
        self._pacers: list[Pacer] = []
        self._runner: Any = environment.runner  # Locust's types say too little
        self._world = World(
            address=(plan.host, plan.port),
            timeout=plan.timeout,
            people=plan.people,
            password=plan.password.get_secret_value(),
            run=plan.run,
            seed=plan.seed,
            begin=self._begin,
        )
        scenario = scenario_of(plan)
        scenario.world = self._world
        scenario.seats = self._seats()
        events: Any = environment.events
        events.cpu_warning.add_listener(self._on_cpu_warning)
        events.user_error.add_listener(self._recorder.on_scenario_error)
        # A fresh hook: the runner's own statistics would cost time for numbers that nobody reads.
        events.request = type(events.request)()
        events.request.add_listener(self._recorder.on_request)

    def _seats(self) -> Iterator[Seat]:
        plan = self._plan
        for number, index in enumerate(self._indexes()):
            if number == 0:  # Locust chooses tasks with the global generator
                random.seed(f"{plan.seed}:{index}")
            who = plan.identity(index)
            pacer = Pacer(index, plan.users, plan.period, plan.seed)
            self._pacers.append(pacer)
            person = Person(who.id, who.username, who.token.get_secret_value())
            yield Seat(index, person, pacer, plan.source(index))

    def _on_cpu_warning(self, **_: object) -> None:
        self._saturated = True

    def run(self, origin: float) -> None:
        """Let the users go through the timeline, and report until the last answer is there."""
        gc.collect()
        gc.freeze()  # the users live as long as the process: collecting must not walk them again
        plan = self._plan
        timeline = Timeline(origin, plan.ramp, plan.warmup, plan.duration)
        for pacer in self._pacers:
            pacer.start(timeline)
        intended = sum(p.slots_in(timeline.opens, timeline.closes) for p in self._pacers)
        self._world.closes = timeline.closes
        last = timeline.closes + plan.timeout + BACKLOG_GRACE
        self._begin.set()
        while self._runner.user_greenlets and time.monotonic() < last:
            self._runner.user_greenlets.join(timeout=REPORT_SECONDS)
            self._report(origin)
        unanswered = len(self._runner.user_greenlets)
        self._runner.stop()
        self._report(origin)
        self._send("done", intended=intended, unanswered=unanswered, cpu_warning=self._saturated)

    def _report(self, origin: float) -> None:
        at, cpu = time.monotonic(), time.process_time()
        self._send("samples", origin=origin, at=at, cpu=cpu, **self._recorder.drain())


def scenario_of(plan: Plan) -> type[PulseUser]:
    """Return the class of a plan's users."""
    scenario: type[PulseUser] = importlib.import_module(plan.scenario).Scenario
    return scenario


def _leave_with(source: Any) -> None:
    while source.read(4096):
        pass
    os._exit(0)  # a greenlet cannot end the others in order; nothing here needs order


def main() -> None:
    """Run one generator over standard input and output."""
    logging.getLogger("locust").addHandler(logging.NullHandler())  # its events are listened to
    logging.getLogger("locust").propagate = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    source = FileObjectPosix(sys.stdin.fileno(), "rb", closefd=False)
    output = FileObjectPosix(sys.stdout.fileno(), "wb", closefd=False)

    def send(kind: str, **content: object) -> None:
        output.write(json.dumps({"kind": kind, **content}).encode() + b"\n")
        output.flush()

    plan = Plan.model_validate_json(source.readline())
    environment = Environment(user_classes=[scenario_of(plan)], host="")
    runner: Any = environment.create_local_runner()
    generator = Generator(plan, environment, lambda: plan.indexes, send)
    runner.start(len(plan.indexes), spawn_rate=len(plan.indexes))
    runner.spawning_greenlet.join()
    send("ready")
    line = source.readline()
    if not line:
        return
    leaving = gevent.spawn(_leave_with, source)
    generator.run(float(json.loads(line)["origin"]))
    leaving.join()  # until then its CPU time can be read


if __name__ == "__main__":
    main()
