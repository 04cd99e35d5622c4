"""What a client is told about how to make its calls: `Retries`, and all `Options` together."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import httpx

from pulse_sdk.backoff import Backoff
from pulse_sdk.breaker import Breaker
from pulse_sdk.errors import AnswerError, CircuitOpen, InvalidInput, PulseError
from pulse_sdk.hooks import Hooks

DEFAULT_TIMEOUT = 10.0
"""Seconds to connect, and between two pieces of an answer."""

_AGES = 1e8
"""Seconds. More than three years are for ever, which no clock's arithmetic has to bear."""

_TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses that say "not now". A 500 is a defect, which a second attempt does not mend."""

_OWN_HEADERS = frozenset(
    {
        *("authorization", "host", "connection", "transfer-encoding"),
        *("content-type", "content-length", "idempotency-key", "if-match"),
    }
)
"""What each call sets for itself."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class Retries:
    """When and how often calls that may be repeated are repeated.

    Raises:
        InvalidInput: A number that is negative, or none.
    """

    limit: int = 2
    """Attempts after the first."""
    backoff: Backoff = field(default_factory=Backoff)
    retry_after_cap: float = 30.0
    """Seconds. A server that asks for a longer wait gets none: its error is raised at once."""

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 0:
            raise InvalidInput.of("retries", f"must be a number from 0, not {self.limit!r}")
        if not self.retry_after_cap >= 0:
            message = f"must be a number of seconds from 0, not {self.retry_after_cap!r}"
            raise InvalidInput.of("retry_after_cap", message)

    def wait(self, failure: PulseError, failures: int) -> float | None:
        """Seconds until the next attempt, or None when this failure is final."""
        if failures > self.limit or isinstance(failure, CircuitOpen):
            return None
        delay = self.backoff.delay(failures)
        if isinstance(failure, AnswerError):
            if failure.status not in _TRANSIENT:
                return None
            asked = failure.retry_after or 0.0
            if asked > self.retry_after_cap:
                return None
            return max(asked, delay)
        return delay


@dataclass(frozen=True, slots=True)
class Options:
    """How calls are made; `changed` gives those of a view."""

    timeout: httpx.Timeout = field(default_factory=lambda: httpx.Timeout(DEFAULT_TIMEOUT))
    deadline: float = math.inf
    retries: Retries = field(default_factory=Retries)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    breaker: Breaker | None = None
    hooks: Hooks = field(default_factory=Hooks)

    def changed(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        deadline: float | None = None,
        retries: Retries | int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Options:
        """These with some of them new; None leaves one as it is.

        Raises:
            InvalidInput: A value that cannot be used.
        """
        return replace(
            self,
            timeout=self.timeout if timeout is None else _timeout(timeout),
            deadline=self.deadline if deadline is None else _seconds("deadline", deadline),
            retries=self.retries if retries is None else _retries(retries, self.retries),
            headers=self.headers if headers is None else _merged(self.headers, headers),
        )


def _timeout(timeout: float | httpx.Timeout) -> httpx.Timeout:
    if isinstance(timeout, httpx.Timeout):
        return timeout
    seconds = _seconds("timeout", timeout)
    return httpx.Timeout(None if seconds == math.inf else seconds)


def _seconds(name: str, seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidInput.of(name, f"must be a positive number of seconds, not {seconds!r}")
    return float(seconds) if seconds < _AGES else math.inf


def _retries(retries: Retries | int, current: Retries) -> Retries:
    return retries if isinstance(retries, Retries) else replace(current, limit=retries)


def _merged(current: Mapping[str, str], new: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in new.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidInput.of("headers", f"{name!r} is no header's name")
        if name.lower() in _OWN_HEADERS:
            raise InvalidInput.of("headers", f"{name} is set by each call itself")
        # The value is not shown: it may be a secret.
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidInput.of("headers", f"the value of {name} must be visible ASCII text")
    lowered = {name.lower(): value for name, value in new.items()}
    return MappingProxyType({**current, **lowered})
