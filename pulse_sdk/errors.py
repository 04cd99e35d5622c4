"""Everything the client raises.

    PulseError
    ├── InvalidInput             an argument or option is wrong; nothing was sent (also ValueError)
    ├── ConnectionFailed         no answer: refused, unreachable, broke off
    │   ├── TimedOut             none in time, or none before the deadline (also TimeoutError)
    │   └── CircuitOpen          not even asked: the breaker is open; `retry_after` says how long
    └── AnswerError              the server answered, but not with what was asked for
        ├── InvalidRequest       400, 413, 422: `fields` says what is wrong (also InvalidInput)
        ├── NotAuthenticated     401
        ├── Forbidden            403
        ├── NotFound             404
        ├── Conflict             409, 412
        ├── RateLimited          429: `retry_after` says when to come back
        ├── ServerError          500 and above
        └── UnreadableAnswer     a success whose content breaks the contract or is too large

Each has `status` (None without an answer), `code`, `correlation_id` and `attempts`. No error
carries a token, a password or a request's headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import ValidationError

from pulse_sdk.contract.common import FieldError, Problem, field_errors


class PulseError(Exception):
    """The base of every error of this client."""

    status: int | None = None
    """The HTTP status; None when there was no answer."""
    code: str = "client_error"
    """The stable, machine-readable reason."""
    correlation_id: str | None = None
    """What finds this call in the server's logs; None when nothing was sent."""
    attempts: int = 0
    """How often the request was sent."""


class InvalidInput(PulseError, ValueError):
    """An argument or option is wrong."""

    code = "invalid_input"

    def __init__(self, fields: Sequence[FieldError]) -> None:
        Exception.__init__(self, fields)
        self.fields = tuple(fields)
        """Each wrong field and what is wrong with it."""

    def __str__(self) -> str:
        return "; ".join(_described(field) for field in self.fields)

    @classmethod
    def of(cls, field: str, message: str) -> InvalidInput:
        """One wrong field."""
        return InvalidInput([FieldError(field=field, message=message)])

    @classmethod
    def from_validation(cls, error: ValidationError) -> InvalidInput:
        """What pydantic found, without the values it found it in."""
        return InvalidInput(field_errors(error))


class ConnectionFailed(PulseError):
    """The server could not be reached or its answer never came."""

    code = "connection_failed"

    def __init__(self, reason: str, attempts: int = 1, correlation_id: str | None = None) -> None:
        # Not super(): for TimedOut that is OSError, which takes three for a file's error.
        Exception.__init__(self, reason, attempts, correlation_id)
        self.reason = reason
        self.attempts = attempts
        self.correlation_id = correlation_id

    def __str__(self) -> str:
        return f"{self.reason} ({', '.join(_facts(self))})"


class TimedOut(ConnectionFailed, TimeoutError):
    """The answer did not come in time: `timeout` between two pieces, or the call's `deadline`."""

    code = "timed_out"


class CircuitOpen(ConnectionFailed):
    """Not sent, since so many calls failed of late (`Breaker`)."""

    code = "circuit_open"

    def __init__(self, reason: str, retry_after: float) -> None:
        PulseError.__init__(self, reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds until a call is let through again, to see whether the server is back."""


class AnswerError(PulseError):
    """The server answered with an error."""

    def __init__(
        self, problem: Problem, attempts: int = 1, retry_after: float | None = None
    ) -> None:
        # Not super(): for InvalidRequest that is InvalidInput, which takes other arguments.
        Exception.__init__(self, problem, attempts, retry_after)
        self.problem = problem
        """The server's problem document, or one made from the status line when it sent none."""
        self.status: int = problem.status
        self.code = problem.code
        self.correlation_id = problem.correlation_id
        self.attempts = attempts
        self.retry_after = retry_after
        """Seconds the server asked to wait before the next request; None when it did not say."""

    def __str__(self) -> str:
        parts = [f"{self.status} {self.code}: {self.problem.detail or self.problem.title}"]
        parts += [_described(field) for field in self.problem.errors or ()]
        if self.retry_after is not None:
            parts.append(f"retry after {self.retry_after:g} s")
        return f"{'; '.join(parts)} ({', '.join(_facts(self))})"


class InvalidRequest(AnswerError, InvalidInput):
    """The server refused the request's content."""

    def __init__(
        self, problem: Problem, attempts: int = 1, retry_after: float | None = None
    ) -> None:
        AnswerError.__init__(self, problem, attempts, retry_after)
        self.fields = tuple(problem.errors or ())


class NotAuthenticated(AnswerError):
    """No token, or one that is expired, revoked or foreign; or wrong credentials."""


class Forbidden(AnswerError):
    """The caller may not do this."""


class NotFound(AnswerError):
    """It does not exist, or the caller may not know that it does."""


class Conflict(AnswerError):
    """It contradicts what exists: a username that is taken, a version that is not the latest."""


class RateLimited(AnswerError):
    """Too many requests; `retry_after` says when to come back."""


class ServerError(AnswerError):
    """The server, or what it depends on, failed."""


class UnreadableAnswer(AnswerError):
    """A success whose content is not what the contract promises, or too large to be read."""


_BY_STATUS: dict[int, type[AnswerError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}


def answer_error(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    attempts: int,
    correlation_id: str | None = None,
) -> AnswerError:
    """The error that an answer means. `headers` finds names whatever their case."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        problem = Problem(
            title=_phrase(status),
            status=status,
            code=f"http_{status}",
            detail=_redirect(headers.get("Location")) if 300 <= status < 400 else None,
        )
    found = problem.correlation_id or headers.get("X-Correlation-ID") or correlation_id
    problem = problem.model_copy(update={"status": status, "correlation_id": found})
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else AnswerError)
    return kind(problem, attempts, _wait(headers.get("Retry-After"), headers.get("Date")))


def unreadable(
    status: int,
    headers: Mapping[str, str],
    error: ValidationError | str,
    attempts: int,
    correlation_id: str | None = None,
) -> UnreadableAnswer:
    """The error of a success that cannot be used, without the content itself."""
    detail = error if isinstance(error, str) else "it is not what the contract promises"
    problem = Problem(
        title="Unreadable answer",
        status=status,
        code="unreadable_answer",
        detail=f"the server's answer cannot be used: {detail}",
        correlation_id=headers.get("X-Correlation-ID") or correlation_id,
        errors=None if isinstance(error, str) else field_errors(error),
    )
    return UnreadableAnswer(problem, attempts)


def _wait(retry_after: str | None, date: str | None) -> float | None:
    """The seconds of a Retry-After header; one that is a date counts from the server's own."""
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    moment = _moment(retry_after)
    if moment is None:
        return None
    return max(0.0, (moment - (_moment(date) or datetime.now(UTC))).total_seconds())


def _moment(date: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


def _described(field: FieldError) -> str:
    return f"{field.field}: {field.message}" if field.field else field.message


def _redirect(location: str | None) -> str:
    """Where a redirect leads, which is not followed: the token must not go elsewhere."""
    try:
        parts = urlsplit(location or "")
        where = f" to {parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        where = ""
    return f"the server redirects{where}, which is not followed; is base_url right?"


def _facts(error: PulseError) -> list[str]:
    times = "1 attempt" if error.attempts == 1 else f"{error.attempts} attempts"
    return [times, f"correlation id {error.correlation_id}"] if error.correlation_id else [times]
