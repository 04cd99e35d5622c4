"""What every part of the contract is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    ValidationError,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Item = TypeVar("Item")


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_storable)]
"""Text a person wrote: outer white space removed, no NUL (PostgreSQL cannot store it)."""

Secret = Annotated[
    SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")
]
"""A string that `repr` and logs hide; only JSON, which is what goes over the wire, shows it."""

Timestamp = AwareDatetime
"""A point in time with its UTC offset (RFC 3339 on the wire)."""


class RequestModel(BaseModel):
    """A body or query sent by a caller; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ResponseModel(BaseModel):
    """An answer; fields from a newer server are ignored.

    A field with a set of values is `… | str`, so that one from a newer server is no error.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class PageQuery(RequestModel):
    """Which part of a list is wanted."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=200)] | None = None
    """`next_cursor` of the page before; opaque."""


class Page(ResponseModel, Generic[Item]):
    """Part of a list, newest first unless its endpoint says otherwise."""

    items: list[Item]
    next_cursor: str | None = None
    """Where the next page starts; null on the last one."""


class FieldError(ResponseModel):
    """One invalid field of a request."""

    field: str
    """Dotted path from the root of the body or query, `""` for the whole."""
    message: str


class Problem(ResponseModel):
    """An error answer (RFC 9457, `application/problem+json`)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    """Stable and machine-readable; `gateway_*` when the gateway refused."""
    detail: str | None = None
    correlation_id: str | None = None
    errors: list[FieldError] | None = None
    """The invalid fields, when `code` is `invalid_request`."""


def field_errors(error: ValidationError) -> list[FieldError]:
    """Where pydantic found something wrong and what, never the values (they may be secrets)."""
    return [
        FieldError(field=".".join(map(str, found["loc"])), message=_message(found))
        for found in error.errors(include_url=False, include_input=False)
    ]


def _message(found: ErrorDetails) -> str:
    limits = found.get("ctx", {})
    # Of text that a validator has seen, such as `Text`, pydantic does not know that it is text.
    if limits.get("field_type") == "Value":
        bound = "max" if found["type"] == "too_long" else "min"
        count, word = limits[f"{bound}_length"], "most" if bound == "max" else "least"
        return f"String should have at {word} {count} character{'' if count == 1 else 's'}"
    return found["msg"]
