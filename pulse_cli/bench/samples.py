"""Every sample of a run, in six flat arrays: nothing is rounded, binned or dropped.

A sample costs 35 bytes, so a minute at 500 requests a second takes 1 MB and an hour at 2,000
takes 252 MB; sorting a copy of one column for percentiles costs that column (8 bytes) again.
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


def _shorts() -> array[int]:
    return array("H")


def _doubles() -> array[float]:
    return array("d")


def _bytes() -> array[int]:
    return array("b")


@dataclass
class Samples:
    """Requests in the order of their answers; times in seconds of `time.monotonic`."""

    endpoint: array[int] = field(default_factory=_shorts)
    """Index into the run's list of endpoints."""
    intended: array[float] = field(default_factory=_doubles)
    """When the pacing wanted the request sent."""
    sent: array[float] = field(default_factory=_doubles)
    latency: array[float] = field(default_factory=_doubles)
    """From the send to the last byte of the answer."""
    late: array[float] = field(default_factory=_doubles)
    """From when the user could have sent (its slot had come, its answer was there) to the send."""
    ok: array[int] = field(default_factory=_bytes)

    def __len__(self) -> int:
        return len(self.endpoint)

    def add(
        self, endpoint: int, *, intended: float, sent: float, latency: float, late: float, ok: bool
    ) -> None:
        """Append one request."""
        self.endpoint.append(endpoint)
        self.intended.append(intended)
        self.sent.append(sent)
        self.latency.append(latency)
        self.late.append(late)
        self.ok.append(ok)

    def corrected(self, index: int) -> float:
        """Return the latency of one request counted from its intended start."""
        return self.sent[index] + self.latency[index] - self.intended[index]

    def columns(self) -> Iterator[tuple[str, array[int] | array[float]]]:
        """Yield each column by name."""
        yield "endpoint", self.endpoint
        yield "intended", self.intended
        yield "sent", self.sent
        yield "latency", self.latency
        yield "late", self.late
        yield "ok", self.ok

    def drain(self) -> dict[str, str]:
        """Encode all samples for a pipe between processes of like machines, and forget them."""
        encoded = {}
        for name, column in self.columns():
            encoded[name] = b64encode(column.tobytes()).decode("ascii")
            del column[:]
        return encoded

    def absorb(
        self, encoded: Mapping[str, str], endpoints: Mapping[int, int], shift: float = 0.0
    ) -> None:
        """Append what `drain` encoded, renumbering its endpoints.

        `shift` is what this clock shows more than the one that the samples were taken by.
        """
        known = len(self)
        for name, column in self.columns():
            column.frombytes(b64decode(encoded[name]))
        for i in range(known, len(self)):
            self.endpoint[i] = endpoints[self.endpoint[i]]
            self.intended[i] += shift
            self.sent[i] += shift

    def within(self, opens: float, closes: float) -> list[int]:
        """Return the positions of the samples intended in `[opens, closes)`."""
        return [i for i, start in enumerate(self.intended) if opens <= start < closes]
