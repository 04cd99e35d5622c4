"""What keeps one service's trouble from becoming another's: circuit breaker and deadline. No I/O.

Libraries such as pybreaker and purgatory open after so many failures in a row, which a callee that
fails every second call never reaches, and wrap the call, reading the clock themselves. What is
wanted is a share of a rolling window, so the breaker is here: a state machine that is told the
time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from services.kit.errors import ServiceError

DEADLINE_HEADER = "X-Deadline-Ms"
"""Milliseconds that the caller still waits. A duration, since clocks differ between machines."""

_MOST_MILLISECONDS = 3_600_000

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When nobody waits for the answer any more, on this process's monotonic clock."""


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
class Policy:
    """When a breaker opens, and for how long."""

    failing_share: float = 0.5
    """It opens when this share of the window's calls failed,"""
    at_least: int = 5
    """but not before so many were made."""
    window_seconds: int = 20
    """Long enough for so many calls that take 3 s each, one after the other."""
    open_seconds: float = 30.0


@dataclass(slots=True)
class _Second:
    """The calls that ended in one second."""

    number: int
    calls: int = 0
    failures: int = 0


class Breaker:
    """The circuit breaker of one callee. Times are seconds of any monotonic clock."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._seconds: deque[_Second] = deque()
        self._state = State.CLOSED
        self._opened_at = 0.0
        self._era = 0

    @property
    def state(self) -> State:
        """What it does now."""
        return self._state

    def begin(self, now: float) -> int | None:
        """Ask to call; a ticket to `end` the call with, None when it must not be made."""
        if self._state is State.CLOSED:
            return self._era
        if self._state is State.HALF_OPEN or now < self._opened_at + self._policy.open_seconds:
            return None
        self._enter(State.HALF_OPEN)
        return self._era

    def end(self, ticket: int, outcome: Outcome, now: float) -> None:
        """Tell how a call went; one that began before the state last changed says nothing."""
        if ticket != self._era:
            return
        if self._state is State.HALF_OPEN:
            if outcome is Outcome.WELL:
                self._seconds.clear()
                self._enter(State.CLOSED)
            else:
                self._enter(State.OPEN)
                if outcome is Outcome.FAILED:
                    self._opened_at = now
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
            self._opened_at = now

    def _enter(self, state: State) -> None:
        self._state = state
        self._era += 1


@contextmanager
def deadline_from(header: str | None) -> Iterator[None]:
    """Serve within what the caller's header leaves; without one, or with nonsense, without end.

    Raises:
        ServiceError: 504, the time is already over.
    """
    if header is None or not header.isascii() or not header.isdigit():
        until = None
    else:
        until = monotonic() + min(int(header[:9]), _MOST_MILLISECONDS) / 1000
    token = _deadline.set(until)
    try:
        within(_MOST_MILLISECONDS)
        yield
    finally:
        _deadline.reset(token)


def within(seconds: float) -> float:
    """So many seconds, or what is left of the caller's if that is less.

    Raises:
        ServiceError: 504, nothing is left.
    """
    until = _deadline.get()
    if until is None:
        return seconds
    left = until - monotonic()
    if left <= 0:
        raise ServiceError.too_late()
    return min(seconds, left)
