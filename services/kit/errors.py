"""Domain errors, and the middleware that turns every failure into a problem document."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from pulse_sdk.contract.common import FieldError, Problem
from services.kit.observe import correlation_id

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """A request that cannot be served, with the answer its caller gets."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        fields: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = list(fields)
        self.headers = headers or {}

    @classmethod
    def not_found(cls, what: str) -> Self:
        """404: there is no such thing, or the caller may not know of it."""
        return cls(HTTPStatus.NOT_FOUND, f"{what}_not_found", f"There is no such {what}.")

    @classmethod
    def forbidden(cls, code: str, detail: str) -> Self:
        """403: the caller may see it but not do this."""
        return cls(HTTPStatus.FORBIDDEN, code, detail)

    @classmethod
    def conflict(cls, code: str, detail: str) -> Self:
        """409: what is there already stands in the way."""
        return cls(HTTPStatus.CONFLICT, code, detail)

    @classmethod
    def stale(cls, what: str) -> Self:
        """412: it has changed since the caller read the version that `If-Match` names."""
        detail = f"The {what} has changed meanwhile; read it again."
        return cls(HTTPStatus.PRECONDITION_FAILED, "stale", detail)

    @classmethod
    def unauthorized(cls, code: str, detail: str) -> Self:
        """401: the caller is not known."""
        headers = {"WWW-Authenticate": "Bearer"}
        return cls(HTTPStatus.UNAUTHORIZED, code, detail, headers=headers)

    @classmethod
    def invalid(cls, fields: Sequence[FieldError]) -> Self:
        """422: the request is well formed but its values are not acceptable."""
        detail = "; ".join(f"{f.field}: {f.message}" if f.field else f.message for f in fields)
        return cls(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, fields=fields)

    @classmethod
    def malformed(cls, detail: str) -> Self:
        """400: the request cannot be read at all."""
        return cls(HTTPStatus.BAD_REQUEST, "malformed_request", detail)

    @classmethod
    def unavailable(cls, dependency: str) -> Self:
        """503: something this service needs is away; the caller may try again."""
        name = dependency.replace("_", " ")
        detail = f"The {name} cannot be reached; try again shortly."
        code = f"{dependency}_unavailable"
        return cls(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers={"Retry-After": "1"})

    @classmethod
    def overloaded(cls) -> Self:
        """503: more is asked for than can be served in time."""
        detail = "Too much is asked for at once; try again shortly."
        headers = {"Retry-After": "1"}
        return cls(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, headers=headers)

    @classmethod
    def too_late(cls) -> Self:
        """504: the caller's deadline is over, so that nobody waits for the answer."""
        detail = "The time that the caller gave is over."
        return cls(HTTPStatus.GATEWAY_TIMEOUT, "deadline_exceeded", detail)


def problem_response(error: ServiceError) -> web.Response:
    """The problem document of an error."""
    problem = Problem(
        title=error.status.phrase,
        status=error.status,
        code=error.code,
        detail=error.detail,
        correlation_id=correlation_id.get(),
        errors=error.fields or None,
    )
    return web.Response(
        status=error.status,
        body=problem.model_dump_json(exclude_none=True).encode(),
        content_type="application/problem+json",
        headers=error.headers,
    )


_HTTP_CODES = {404: "no_such_path", 405: "method_not_allowed", 413: "body_too_large"}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a problem document; an unforeseen one reveals nothing."""
    try:
        return await handler(request)
    except ServiceError as error:
        return problem_response(error)
    except web.HTTPError as error:
        status = HTTPStatus(error.status)
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        code = _HTTP_CODES.get(status, status.name.lower())
        return problem_response(ServiceError(status, code, status.description, headers=headers))
    except Exception:
        log.exception("unexpected error at %s %s", request.method, request.path)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return problem_response(
            ServiceError(status, "internal_error", "The request failed; the failure is logged.")
        )
