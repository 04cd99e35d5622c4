"""How a call becomes an answer: one generator, the same for blocking and asynchronous clients.

The generator yields what it wants done and is sent the outcome, or thrown the exception; the two
clients do nothing else than carry steps out (`Pulse.drive`, `AsyncPulse.drive`).
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from pulse_sdk._call import Call
from pulse_sdk.auth import Credentials
from pulse_sdk.backoff import Backoff
from pulse_sdk.contract.users import Refresh, Tokens
from pulse_sdk.errors import (
    AnswerError,
    ConnectionFailed,
    NotAuthenticated,
    PulseError,
    answer_error,
    unreadable,
)

T = TypeVar("T")
log = logging.getLogger("pulse_sdk")
log.addHandler(logging.NullHandler())

_TRANSIENT = frozenset({429, 502, 503, 504})
"""Statuses that say "not now". A 500 is a defect, which a second attempt does not mend."""


@dataclass(frozen=True, slots=True)
class Retries:
    """When and how often calls that may be repeated are repeated."""

    limit: int = 2
    """Attempts after the first."""
    backoff: Backoff = field(default_factory=Backoff)
    retry_after_cap: float = 30.0
    """Seconds. A server that asks for a longer wait gets none: its error is raised at once."""

    def wait(self, failure: PulseError, failures: int) -> float | None:
        """Seconds until the next attempt, or None when this failure is final."""
        if failures > self.limit:
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
class Send:
    """Send this and answer with the `httpx.Response`, read to its end."""

    method: str
    url: str
    query: dict[str, str | int]
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Run `Flow.refresh(stale)`, once for all who ask at the same time; answer with its answer."""

    stale: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open a WebSocket; answer with it and the position in its first frame."""

    url: str
    headers: dict[str, str] = field(repr=False)
    heartbeat: float
    """Seconds between two pings, and as many for each one's answer."""


Step = Send | Sleep | RefreshTokens | OpenSocket


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


@dataclass(frozen=True, slots=True)
class Flow:
    """What all calls of one client share."""

    base_url: str
    retries: Retries
    credentials: Credentials

    @property
    def websocket_url(self) -> str:
        """Where frames come from; `ws` for `http`, `wss` for `https`."""
        return f"ws{self.base_url.removeprefix('http')}/api/v1/ws"

    def run(self, call: Call[T]) -> Generator[Step, Any, T]:
        """Send, retry or refresh where that helps, then parse or raise.

        Raises:
            ConnectionFailed: No answer after all attempts.
            AnswerError: The server answered with an error, or with what cannot be read.
        """
        attempts = failures = 0
        refreshed = False
        content = None
        if call.body is not None:
            content = call.body.model_dump_json(exclude_none=True).encode()
        while True:
            token = self.credentials.access_token if call.authenticated else None
            attempts += 1
            failure: PulseError
            cause: Exception | None = None
            try:
                response: httpx.Response = yield Send(
                    call.method,
                    self.base_url + call.path,
                    dict(call.query),
                    _headers(call, token),
                    content,
                )
            except httpx.RequestError as error:
                failure, cause = ConnectionFailed(_reason(error, self.base_url), attempts), error
            else:
                log.debug("%s %s: %d", call.method, call.path, response.status_code)
                if response.is_success:
                    return _read(call, response, attempts)
                failure = answer_error(
                    response.status_code, response.headers, response.content, attempts
                )
            if (
                isinstance(failure, NotAuthenticated)
                and not refreshed
                and token is not None
                and self.credentials.can_replace(token)
            ):
                refreshed = True
                if (yield RefreshTokens(token)):
                    continue
                raise failure
            failures += 1
            wait = self.retries.wait(failure, failures) if call.retryable else None
            if wait is None:
                raise failure from cause
            log.info("%s %s: %s; next attempt in %.2f s", call.method, call.path, failure, wait)
            yield Sleep(wait)

    def refresh(self, stale: str) -> Generator[Step, Any, bool]:
        """Replace the access token unless someone did already; says whether there is a new one.

        Raises:
            ConnectionFailed: No answer.
            AnswerError: The server failed; that it refused the refresh token is no error here.
        """
        if self.credentials.access_token != stale:
            return self.credentials.access_token is not None
        refresh_token = self.credentials.refresh_token
        if refresh_token is None:
            return False
        try:
            self.credentials.keep((yield from self.run(refresh_call(refresh_token))))
        except NotAuthenticated:
            self.credentials.drop_refresh_token()
            return False
        return True


def refresh_call(refresh_token: str) -> Call[Tokens]:
    """Exchange a refresh token. Not repeated: each works once, and an answer may have got lost."""
    return Call(
        "POST",
        ("auth", "refresh"),
        Tokens,
        body=Refresh(refresh_token=refresh_token),
        authenticated=False,
    )


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token, if there is one."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _headers(call: Call[Any], token: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json", **bearer(token)}
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    if call.version is not None:
        headers["If-Match"] = f'"{call.version}"'
    return headers


def _read(call: Call[T], response: httpx.Response, attempts: int) -> T:
    content = b"null" if call.answer is NoneType else response.content
    kind: Any = call.answer
    try:
        answer: T = _adapter(kind).validate_json(content)
    except ValidationError as error:
        # Not chained: pydantic's own error shows the content, which may hold tokens.
        raise unreadable(response.status_code, response.headers, error, attempts) from None
    if call.then is not None:
        call.then(answer)
    return answer


def _reason(error: httpx.RequestError, base_url: str) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"{base_url} did not answer in time ({type(error).__name__})"
    return f"no answer from {base_url}: {error or type(error).__name__}"
