"""A circuit breaker: stops calling who does not answer. Pure, no I/O; it is told the time.

Libraries such as pybreaker and purgatory open after so many failures in a row, which a callee that
fails every second call never reaches, and wrap the call, reading the clock themselves. What is
wanted is a share of a rolling window, so the breaker is here, for the client and the services.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum
from threading import Lock

from pulse_sdk.errors import InvalidInput


class State(Enum):
    """What a breaker does with calls; the values are those of the metric."""

    CLOSED = 0
    """Lets them through."""
    HALF_OPEN = 1
    """One is on its way, to see whether the callee is back."""
    OPEN = 2
    """Refuses them."""


class Outcome(Enum):
    """What a call says of its callee."""

    WELL = "well"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nothing: it was cancelled, or its caller had little time left."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    Raises:
        InvalidInput: A number that cannot be meant.
    """

    failing_share: float = 0.5
    """It opens when this share of the window's calls failed,"""
    at_least: int = 5
    """but not before so many were made."""
    window_seconds: int = 20
    """Long enough for so many calls that take 3 s each, one after the other."""
    open_seconds: float = 30.0
    """After so long one call is let through, which decides."""

    def __post_init__(self) -> None:
        if not 0 < self.failing_share <= 1:
            raise InvalidInput.of("failing_share", "must be more than 0 and at most 1")
        for name in ("at_least", "window_seconds", "open_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidInput.of(name, f"must be more than 0, not {getattr(self, name)!r}")


@dataclass(slots=True)
class _Second:
    """The calls that ended in one second."""

    number: int
    calls: int = 0
    failures: int = 0


class Breaker:
    """The circuit breaker of one callee; threads may share it.

    Times are seconds of any monotonic clock.
    """

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._seconds: deque[_Second] = deque()
        self._state = State.CLOSED
        self._shut_until = 0.0
        self._era = 0
        self._lock = Lock()

    @property
    def state(self) -> State:
        """What it does now."""
        return self._state

    def begin(self, now: float) -> int | None:
        """Ask to call; a ticket to `end` the call with, None when it must not be made."""
        with self._lock:
            if self._state is State.CLOSED:
                return self._era
            if self._state is State.HALF_OPEN or now < self._shut_until:
                return None
            self._enter(State.HALF_OPEN)
            return self._era

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again."""
        return 0.0 if self._state is State.CLOSED else max(0.0, self._shut_until - now)

    def end(self, ticket: int, outcome: Outcome, now: float) -> None:
        """Tell how a call went; one that began before the state last changed says nothing."""
        with self._lock:
            if ticket != self._era:
                return
            if self._state is State.HALF_OPEN:
                if outcome is Outcome.WELL:
                    self._seconds.clear()
                    self._enter(State.CLOSED)
                else:
                    self._enter(State.OPEN)
                    if outcome is Outcome.FAILED:
                        self._shut_until = now + self._policy.open_seconds
            elif outcome is not Outcome.UNKNOWN:
                self._count(outcome, now)

    def _count(self, outcome: Outcome, now: float) -> None:
        second = int(now)
        if not self._seconds or self._seconds[-1].number != second:
            self._seconds.append(_Second(second))
            while self._seconds[0].number <= second - self._policy.window_seconds:
                self._seconds.popleft()
        self._seconds[-1].calls += 1
        if outcome is Outcome.WELL:
            return
        self._seconds[-1].failures += 1
        calls = sum(one.calls for one in self._seconds)
        failures = sum(one.failures for one in self._seconds)
        if calls >= self._policy.at_least and failures >= self._policy.failing_share * calls:
            self._enter(State.OPEN)
            self._shut_until = now + self._policy.open_seconds

    def _enter(self, state: State) -> None:
        self._state = state
        self._era += 1
