"""Domain errors, and the middleware that turns every failure into a problem document."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from pulse_sdk.contract.problems import Refusal
from services.kit.observe import correlation_id

log = logging.getLogger(__name__)


class ServiceError(Refusal):
    """A request that cannot be served: refused, or for want of what a service needs itself."""

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
    return web.Response(
        status=error.status,
        body=error.problem(correlation_id.get()),
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
