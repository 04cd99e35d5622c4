"""How a request is refused: what services raise, and the fake of `pulse_sdk.testing` as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Self

from pulse_sdk.contract.common import FieldError, Problem


class Refusal(Exception):
    """A request that cannot be served, with the answer its caller gets."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.code = code
        """Stable and machine-readable."""
        self.detail = detail
        self.fields = list(fields)
        self.headers = dict(headers or {})
        """Of the answer, besides those that every answer has."""

    @classmethod
    def malformed(cls, detail: str) -> Self:
        """400: the request cannot be read at all."""
        return cls(400, "malformed_request", detail)

    @classmethod
    def unauthorized(cls, code: str, detail: str) -> Self:
        """401: the caller is not known."""
        return cls(401, code, detail, headers={"WWW-Authenticate": "Bearer"})

    @classmethod
    def forbidden(cls, code: str, detail: str) -> Self:
        """403: the caller may see it but not do this."""
        return cls(403, code, detail)

    @classmethod
    def not_found(cls, what: str) -> Self:
        """404: there is no such thing, or the caller may not know of it."""
        return cls(404, f"{what}_not_found", f"There is no such {what}.")

    @classmethod
    def conflict(cls, code: str, detail: str) -> Self:
        """409: what is there already stands in the way."""
        return cls(409, code, detail)

    @classmethod
    def stale(cls, what: str) -> Self:
        """412: it has changed since the caller read the version that `If-Match` names."""
        return cls(412, "stale", f"The {what} has changed meanwhile; read it again.")

    @classmethod
    def invalid(cls, fields: Sequence[FieldError]) -> Self:
        """422: the request is well formed but its values are not acceptable."""
        detail = "; ".join(f"{f.field}: {f.message}" if f.field else f.message for f in fields)
        return cls(422, "invalid_request", detail, fields=fields)

    @classmethod
    def of_field(cls, field: str, message: str) -> Self:
        """422: one value is not acceptable."""
        return cls.invalid([FieldError(field=field, message=message)])

    def problem(self, correlation_id: str | None) -> bytes:
        """The JSON of the problem document."""
        problem = Problem(
            title=self.status.phrase,
            status=self.status,
            code=self.code,
            detail=self.detail,
            correlation_id=correlation_id,
            errors=self.fields or None,
        )
        return problem.model_dump_json(exclude_none=True).encode()
