"""When each user sends: a constant period, a random phase of its own, and a ramp.

With `users` users and an intended rate of `rate` requests a second, each user sends every
`period = users / rate` seconds. Users start evenly over the ramp and then keep to their own slots
`origin + phase + k * period`, so that a thousand of them never send in step. A slot that is late
(the answer before it took longer than a period) is sent at once and keeps its intended start: the
waiting is part of what a user feels, and the corrected latency counts from there.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeline:
    """The parts of a run in seconds of `time.monotonic` (one clock for all local processes)."""

    origin: float
    ramp: float
    warmup: float
    duration: float

    @property
    def opens(self) -> float:
        """When the measured window begins."""
        return self.origin + self.ramp + self.warmup

    @property
    def closes(self) -> float:
        """When the measured window ends, and with it the sending."""
        return self.opens + self.duration


class Pacer:
    """The slots of one user."""

    def __init__(self, index: int, users: int, period: float, seed: int) -> None:
        """Take the place of user `index` of `users`; equal seeds give equal phases."""
        self._period = period
        self._share = index / users
        # A stream per user: the same phases however users are divided over processes.
        self._phase = random.Random(f"{seed}:{index}").uniform(0, period)  # noqa: S311
        self._next = math.inf

    def start(self, timeline: Timeline) -> None:
        """Find the first slot: the user's own phase, after its turn in the ramp."""
        joins = self._share * timeline.ramp
        skipped = max(0, math.ceil((joins - self._phase) / self._period))
        self._next = timeline.origin + self._phase + skipped * self._period

    @property
    def next(self) -> float:
        """The intended start of the next request."""
        return self._next

    def take(self) -> float:
        """Use the next slot and return its intended start."""
        slot = self._next
        self._next += self._period
        return slot

    def slots_in(self, opens: float, closes: float) -> int:
        """Count the slots intended in `[opens, closes)`, from the user's current place on."""
        first = max(0, math.ceil((opens - self._next) / self._period))
        last = math.ceil((closes - self._next) / self._period)
        return max(0, last - first)
