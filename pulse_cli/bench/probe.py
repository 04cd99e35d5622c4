"""The gateway's overhead, in pairs: `python -m pulse_cli.bench.probe`.

Ten times a second one cheap authenticated GET goes to a service's instance directly and through
the gateway, one right after the other and each first in turn, on keep-alive connections. Both of a
pair meet the same moment of the machine and of the service, so that what they differ by is the
gateway (with its hop over loopback). The probe is a process of its own with nothing but blocking
sockets: no event loop whose other work would be measured with it. On a machine that also runs
the load, both of a pair wait for the CPU; the one through the gateway does so once more, because
one more process must be scheduled, and that belongs to what a gateway costs.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import sys
import time
from http.client import HTTPConnection, HTTPException
from itertools import count, cycle

from pydantic import BaseModel, ConfigDict

from pulse_cli.bench.plan import Told

PAIRS_PER_SECOND = 10


class ProbePlan(BaseModel):
    """What to ask, told in the first line of standard input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    gateway: tuple[str, int]
    instances: list[tuple[str, int]]
    """Of the service behind the path; asked in turn."""
    path: str
    token: Told
    source: str | None
    """The address to send from, so that the gateway's rate limit sees one more client."""
    opens: float
    """`time.monotonic`"""
    closes: float


class Way:
    """A keep-alive connection on which the same GET is timed."""

    def __init__(self, address: tuple[str, int], plan: ProbePlan) -> None:
        source = (plan.source, 0) if plan.source else None
        self._connection = HTTPConnection(*address, timeout=5.0, source_address=source)
        self._path = plan.path
        self._headers = {"Authorization": f"Bearer {plan.token.get_secret_value()}"}

    def ask(self) -> float | None:
        """Return the seconds of one GET; None when it was not answered with 200."""
        started = time.monotonic()
        try:
            self._connection.request("GET", self._path, headers=self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            return None
        return time.monotonic() - started if answer.status == 200 else None


def run(plan: ProbePlan) -> dict[str, list[float]]:
    """Measure pairs until the window closes; a pair with a failure is left out."""
    through = Way(plan.gateway, plan)
    directs = [Way(instance, plan) for instance in plan.instances]
    for way in (through, *directs):
        way.ask()  # connect before the window opens
    times: dict[str, list[float]] = {"at": [], "gateway": [], "direct": []}
    for number, direct in zip(count(), cycle(directs)):
        due = plan.opens + number / PAIRS_PER_SECOND
        if due >= plan.closes:
            return times
        wait = max(0.0, due - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            return times  # standard input ended: whoever started us is gone
        order = (through, direct) if number % 2 else (direct, through)
        taken = {way: way.ask() for way in order}
        via, straight = taken[through], taken[direct]
        if via is not None and straight is not None:
            times["at"].append(due)
            times["gateway"].append(via)
            times["direct"].append(straight)
    raise AssertionError("unreachable: count() does not end")


def main() -> None:
    """Probe as the first line of standard input says, and print the times as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    plan = ProbePlan.model_validate_json(sys.stdin.readline())
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(run(plan)), flush=True)


if __name__ == "__main__":
    main()
