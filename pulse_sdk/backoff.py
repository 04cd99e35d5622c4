"""How long to wait before trying again: exponential, with full jitter. Pure, no I/O."""

from __future__ import annotations

import random
from dataclasses import dataclass

_LARGEST_EXPONENT = 32
"""Doubling stops here, long past any sensible `most`, so that the power cannot overflow."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `first` to `most` seconds, each drawn anew from zero to its bound."""

    first: float = 0.2
    most: float = 5.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row (1 or more)."""
        exponent = min(failures - 1, _LARGEST_EXPONENT)
        return random.uniform(0, min(self.most, self.first * 2**exponent))  # noqa: S311
