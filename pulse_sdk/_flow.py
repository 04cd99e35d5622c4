"""How a call becomes an answer: one generator, the same for blocking and asynchronous clients.

The generator yields what it wants done and is sent the outcome, or thrown the exception; the two
clients do nothing else than carry steps out (`Pulse.drive`, `AsyncPulse.drive`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cache
from random import getrandbits
from time import monotonic
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError

from pulse_sdk._call import Call
from pulse_sdk.auth import AsyncTokenSource, Credentials, TokenSource
from pulse_sdk.breaker import Outcome
from pulse_sdk.errors import (
    CircuitOpen,
    ConnectionFailed,
    InvalidInput,
    NotAuthenticated,
    PulseError,
    ServerError,
    TimedOut,
    answer_error,
    unreadable,
)
from pulse_sdk.hooks import Attempt, Reply
from pulse_sdk.options import Options, Retries
from pulse_sdk.raw import Answer

if TYPE_CHECKING:
    from pulse_sdk.contract.users import Tokens

T = TypeVar("T")
log = logging.getLogger("pulse_sdk")
log.addHandler(logging.NullHandler())

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of 100 of the longest messages is a tenth of it."""

_CORRELATION = "x-correlation-id"
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this and answer with the `Reply`, its content at most `LARGEST_ANSWER`."""

    method: str
    url: str
    query: dict[str, str | int]
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    timeout: httpx.Timeout
    until: float
    """When to give up, on the monotonic clock; raises TimeoutError or httpx's own."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Run `Flow.refresh(stale)`, once for all who ask at the same time; answer with its answer."""

    stale: SecretStr | None
    until: float = math.inf
    """When to stop waiting for it, on the monotonic clock; raises TimeoutError."""


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Ask a token source; answer with its answer."""

    source: TokenSource | AsyncTokenSource
    refused: SecretStr | None


@dataclass(frozen=True, slots=True)
class TellTokens:
    """Tell the program of its new tokens."""

    on_tokens: Callable[[Tokens | None], object]
    tokens: Tokens | None


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open a WebSocket; answer with it and the position in its first frame."""

    url: str
    headers: dict[str, str] = field(repr=False)
    heartbeat: float
    """Seconds from one ping to the next, and those within which each is answered."""
    timeout: float | None
    """Seconds for the handshake, and as many for the first frame."""


Step = Send | Sleep | RefreshTokens | FetchToken | TellTokens | OpenSocket


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


@dataclass(frozen=True, slots=True)
class Flow:
    """What all calls of one client, or of one view of it, share."""

    base_url: str
    credentials: Credentials
    options: Options
    on_tokens: Callable[[Tokens | None], object] | None = None

    @property
    def retries(self) -> Retries:
        """When and how often calls are repeated."""
        return self.options.retries

    @property
    def websocket_url(self) -> str:
        """Where frames come from; `ws` for `http`, `wss` for `https`."""
        return f"ws{self.base_url.removeprefix('http')}/api/v1/ws"

    def run(self, call: Call[T]) -> Generator[Step, Any, Answer[T]]:
        """Send, retry or refresh where that helps, then parse or raise.

        Raises:
            ConnectionFailed: No answer after all attempts, or not before the deadline.
            AnswerError: The server answered with an error, or with what cannot be read.
        """
        breaker = self.options.breaker
        if breaker is None:
            return (yield from self._run(call))
        ticket = breaker.begin(monotonic())
        if ticket is None:
            wait = breaker.wait(monotonic())
            raise CircuitOpen(f"{self.base_url} failed too often of late; not asked again", wait)
        outcome = Outcome.UNKNOWN
        try:
            answer = yield from self._run(call)
            outcome = Outcome.WELL
            return answer
        except PulseError as error:
            failed = isinstance(error, ConnectionFailed | ServerError)
            outcome = Outcome.FAILED if failed else Outcome.WELL
            raise
        finally:
            breaker.end(ticket, outcome, monotonic())

    def _run(self, call: Call[T], until: float = math.inf) -> Generator[Step, Any, Answer[T]]:
        """One call: attempt after attempt, until one succeeds or a failure is final."""
        until = min(until, monotonic() + self.options.deadline)
        failures = number = 0
        refreshed = False
        correlation_id = self.options.headers.get(_CORRELATION) or f"{getrandbits(128):032x}"
        while True:
            number += 1
            token = (yield from self.access_token(until)) if call.authenticated else None
            attempt = self._attempt(call, number, correlation_id)
            may_repeat = call.retryable
            failure: PulseError
            cause: Exception | None = None
            try:
                reply: Reply = yield self._send(call, attempt, token, until)
            except (httpx.RequestError, TimeoutError) as error:
                failure, cause = self._unanswered(error, attempt, until), error
                may_repeat = may_repeat or isinstance(error, _NEVER_SENT)
            else:
                log.debug("%s %s: %d", call.method, call.path, reply.status)
                if self.options.hooks.response is not None:
                    self.options.hooks.response(attempt, reply)
                if 200 <= reply.status < 300:
                    answer = Answer(_read(call, reply, attempt), reply, number, correlation_id)
                    yield from self._act_on(call, answer.value)
                    return answer
                failure = answer_error(
                    reply.status, reply.headers, reply.content, number, correlation_id
                )
            if isinstance(failure, NotAuthenticated) and call.authenticated and not refreshed:
                refreshed = True
                if self.credentials.can_replace(token) and (yield from self._renew(token, until)):
                    continue
                self._explain(failure, token)
                raise failure
            failures += 1
            wait = self.retries.wait(failure, failures) if may_repeat else None
            if wait is None or monotonic() + wait >= until:
                raise failure from cause
            log.info("%s %s: %s; next attempt in %.2f s", call.method, call.path, failure, wait)
            if self.options.hooks.retry is not None:
                self.options.hooks.retry(attempt, failure, wait)
            yield Sleep(wait)

    def access_token(self, until: float = math.inf) -> Generator[Step, Any, SecretStr | None]:
        """The access token to act with, renewed first when that is due.

        Raises:
            PulseError: There is no token, and none could be had.
        """
        credentials = self.credentials
        if credentials.due():
            stale = credentials.access_token
            try:
                yield from self._renew(stale, until)
            except Exception as error:
                if stale is None or credentials.access_token != stale:
                    raise  # There is none, or the new one could not be stored.
                # The old one may do for this call; whether it does is the server's to say.
                log.info("the access token could not be renewed yet: %s", error)
                credentials.put_off()
        return credentials.access_token

    def _renew(self, stale: SecretStr | None, until: float) -> Generator[Step, Any, bool]:
        """Wait for a newer access token than `stale`; whether there is one."""
        try:
            renewed: bool = yield RefreshTokens(stale, until)
        except TimeoutError as error:
            if isinstance(error, PulseError):
                raise
            raise TimedOut("no new access token before the deadline", 0) from error
        return renewed

    def refresh(
        self, stale: SecretStr | None, until: float = math.inf
    ) -> Generator[Step, Any, bool]:
        """Replace the access token unless someone did already; says whether there is a new one.

        Raises:
            ConnectionFailed: No answer.
            AnswerError: The server failed; that it refused the refresh token is no error here.
        """
        credentials = self.credentials
        if credentials.access_token != stale:
            return credentials.access_token is not None
        if credentials.source is not None:
            credentials.keep_access((yield FetchToken(credentials.source, stale)))
            return True
        refresh_token = credentials.refresh_token
        if refresh_token is None:
            return False
        try:
            yield from self._run(refresh_call(refresh_token), until)
        except NotAuthenticated:
            credentials.drop_refresh_token()
            return False
        return True

    def _act_on(self, call: Call[T], answer: T) -> Generator[Step, Any, None]:
        """Act with the tokens that a call brought, if it is one of those that do."""
        if call.tokens is None:
            return
        tokens = call.tokens(answer)
        if tokens is None:
            self.credentials.forget()
        else:
            self.credentials.keep(tokens)
        if self.on_tokens is not None:
            yield TellTokens(self.on_tokens, tokens)

    def _attempt(self, call: Call[Any], number: int, correlation_id: str) -> Attempt:
        headers = {
            "accept": "application/json",
            _CORRELATION: correlation_id,
            **self.options.headers,
        }
        attempt = Attempt(call.operation, call.method, call.path, number, correlation_id, headers)
        if self.options.hooks.request is not None:
            self.options.hooks.request(attempt)
        return attempt

    def _send(
        self, call: Call[Any], attempt: Attempt, token: SecretStr | None, until: float
    ) -> Send:
        # In lower case, so that nothing a hook added stands beside what the call sets itself.
        headers = {name.lower(): value for name, value in attempt.headers.items()}
        if token is not None:
            headers["authorization"] = bearer(token)["Authorization"]
        content = None
        if call.body is not None:
            content = call.body.model_dump_json(exclude_none=True).encode()
            headers["content-type"] = "application/json"
        if call.idempotency_key is not None:
            headers["idempotency-key"] = call.idempotency_key
        if call.version is not None:
            headers["if-match"] = f'"{call.version}"'
        url, query = self.base_url + attempt.path, dict(call.query)
        return Send(call.method, url, query, headers, content, self.options.timeout, until)

    def _unanswered(self, error: Exception, attempt: Attempt, until: float) -> ConnectionFailed:
        facts = attempt.number, attempt.correlation_id
        if monotonic() >= until:
            return TimedOut(f"{self.base_url} did not answer before the deadline", *facts)
        if isinstance(error, httpx.TimeoutException):
            name = type(error).__name__
            return TimedOut(f"{self.base_url} did not answer in time ({name})", *facts)
        reason = f"no answer from {self.base_url}: {str(error) or type(error).__name__}"
        return ConnectionFailed(reason, *facts)

    def _explain(self, failure: NotAuthenticated, token: SecretStr | None) -> None:
        if token is None:
            failure.add_note("This client has no token: log in with it, or make it with one.")
        elif self.credentials.forked:
            failure.add_note(
                "This process was forked from the one that logged in, and a refresh token works "
                "in one process only. Log in after the fork, or give the client a TokenSource."
            )


def refresh_call(refresh_token: SecretStr | str) -> Call[Tokens]:
    """Exchange a refresh token. An answer that got lost is told again for half a minute.

    Raises:
        InvalidInput: It is none.
    """
    from pulse_sdk.contract.users import Refresh, Tokens

    try:
        body = Refresh.model_validate({"refresh_token": refresh_token})
    except ValidationError as error:
        raise InvalidInput.from_validation(error) from None
    return Call(
        "POST",
        ("auth", "refresh"),
        Tokens,
        body=body,
        idempotent=True,
        authenticated=False,
        tokens=lambda tokens: tokens,
        operation="auth.refresh",
    )


def secret(token: SecretStr | None) -> str | None:
    """The token itself."""
    return None if token is None else token.get_secret_value()


def bearer(token: SecretStr | None) -> dict[str, str]:
    """The header that carries a token, if there is one."""
    return {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}


def _read(call: Call[T], reply: Reply, attempt: Attempt) -> T:
    facts = attempt.number, attempt.correlation_id
    if not reply.whole:
        reason = f"it is larger than {LARGEST_ANSWER} bytes"
        raise unreadable(reply.status, reply.headers, reason, *facts)
    kind: Any = call.answer
    try:
        answer: T = _adapter(kind).validate_json(
            b"null" if call.answer is NoneType else reply.content
        )
    except ValidationError as error:
        # Not chained: pydantic's own error shows the content, which may hold tokens.
        raise unreadable(reply.status, reply.headers, error, *facts) from None
    return answer
