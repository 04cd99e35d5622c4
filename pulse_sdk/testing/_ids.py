"""Ids that nothing else in the process has."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from uuid import UUID

numbers = count(1)
"""What is unique in ids and names."""


def new_id(at: datetime) -> UUID:
    """A UUIDv7 of a time; of two of the same millisecond the later one is greater."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | next(numbers))
