"""How long to wait before trying again: exponential, with full jitter. Pure, no I/O."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from pulse_sdk.errors import InvalidInput

_LARGEST_EXPONENT = 32
"""Doubling stops here, long past any sensible `most`, so that the power cannot overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` to `most` seconds, each drawn anew from zero to its bound.

    Raises:
        InvalidInput: One of them is negative, or no number.
    """

    first: float = 0.2
    most: float = 5.0

    def __post_init__(self) -> None:
        for name in ("first", "most"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise InvalidInput.of(name, f"must be a number of seconds from 0, not {seconds!r}")

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row (1 or more)."""
        exponent = min(failures - 1, _LARGEST_EXPONENT)
        return random.uniform(0, min(self.most, self.first * 2**exponent))  # noqa: S311
