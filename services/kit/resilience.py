"""How long the caller still waits, kept beside the request that is served. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from services.kit.errors import ServiceError

DEADLINE_HEADER = "X-Deadline-Ms"
"""Milliseconds that the caller still waits. A duration, since clocks differ between machines."""

_MOST_MILLISECONDS = 3_600_000

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When nobody waits for the answer any more, on this process's monotonic clock."""


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
