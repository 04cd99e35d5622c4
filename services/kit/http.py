"""Endpoints as data: what each takes, who may call it and what it returns.

A service's `api.py` lists its endpoints. For every request the kit checks the caller, validates
query and body against the contract, calls the handler and serialises the model it returns.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import Any, Generic, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ValidationError

from pulse_sdk.contract.common import FieldError, field_errors
from services.kit.auth import Identity, bearer, user_verifier, verify_service_token
from services.kit.errors import ServiceError
from services.kit.replica import caller
from services.kit.resilience import DEADLINE_HEADER, deadline_from
from services.kit.settings import Settings

B = TypeVar("B", bound=BaseModel | None)
Q = TypeVar("Q", bound=BaseModel | None)
R = TypeVar("R", bound=BaseModel | None)
M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 1_048_576
MAX_LINE_BYTES = 32_768
"""Of a request's line or a header: as much as the gateway lets through."""
MAX_KEY_CHARACTERS = 128
_VERSION_TAG = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})"(?=\s*(?:,|$))', re.ASCII)


class Access(Enum):
    """Who may call an endpoint."""

    PUBLIC = "public"
    USER = "user"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """A validated request."""

    request: web.Request
    body: B
    query: Q
    identity: Identity | None

    @property
    def app(self) -> web.Application:
        """The application, which holds the service."""
        return self.request.app

    @property
    def user(self) -> Identity:
        """The calling user; every endpoint with `Access.USER` has one."""
        if self.identity is None:
            raise ServiceError.unauthorized("token_missing", "Send an access token as Bearer.")
        return self.identity

    def id(self, name: str) -> UUID:
        """An id in the path.

        Raises:
            ServiceError: 404, since no such thing can exist.
        """
        try:
            return UUID(self.request.match_info[name])
        except ValueError:
            raise ServiceError.not_found(name.removesuffix("_id")) from None

    @property
    def idempotency_key(self) -> str | None:
        """The caller's `Idempotency-Key`, at most 128 printable characters.

        Raises:
            ServiceError: 422, it is too long or not printable.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
            message = f"must be 1 to {MAX_KEY_CHARACTERS} printable characters"
            raise ServiceError.invalid([FieldError(field="Idempotency-Key", message=message)])
        return key

    @property
    def if_match(self) -> frozenset[int] | None:
        """The versions that the caller's `If-Match` allows, None when any will do.

        A tag that is none of ours, or weak, matches no version.
        """
        given = self.request.headers.getall("If-Match", None)
        if given is None or "*" in given:
            return None
        return frozenset(int(version) for version in _VERSION_TAG.findall(",".join(given)))


@dataclass(frozen=True, slots=True)
class Encoded(Generic[R]):
    """An answer that is JSON already, where building the model first would cost most of a call."""

    json: bytes
    version: int | None = None
    """That of an answer which has one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path. `body`, `query` and `returns` are contract models or NoneType."""

    method: str
    path: str
    handler: Callable[[Call[Any, Any]], Awaitable[BaseModel | Encoded[Any] | None]]
    body: type[Any]
    query: type[Any]
    returns: type[Any]
    status: int
    access: Access
    callers: tuple[str, ...]


def endpoint(
    method: str,
    path: str,
    handler: Callable[[Call[B, Q]], Awaitable[R | Encoded[R]]],
    *,
    body: type[B] = NoneType,  # type: ignore[assignment]
    query: type[Q] = NoneType,  # type: ignore[assignment]
    returns: type[R] = NoneType,  # type: ignore[assignment]
    status: int | None = None,
    access: Access = Access.USER,
    callers: tuple[str, ...] = (),
) -> Endpoint:
    """Declare an endpoint; types of handler, body, query and answer are checked against each other.

    `status` is 200, or 204 when nothing is returned. `callers` may call it with a service token.
    An answer that has a `version` carries it as its `ETag` too.
    """
    if status is None:
        status = 204 if returns is NoneType else 200
    return Endpoint(method, path, handler, body, query, returns, status, access, callers)


def add_endpoints(app: web.Application, settings: Settings, endpoints: Iterable[Endpoint]) -> None:
    """Route the endpoints, behind the check of their callers."""
    verify_user = user_verifier(settings)
    for declared in endpoints:
        app.router.add_route(
            declared.method, declared.path, _handler(declared, settings, verify_user)
        )


def _handler(
    declared: Endpoint, settings: Settings, verify_user: Callable[[str], Identity]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    versioned = "version" in getattr(declared.returns, "model_fields", {})

    async def handle(request: web.Request) -> web.Response:
        identity = None
        if declared.access is Access.USER:
            identity = verify_user(bearer(request.headers.get("Authorization")))
        elif declared.access is Access.SERVICE:
            token = bearer(request.headers.get("Authorization"))
            verify_service_token(settings, token, declared.callers)
        caller.set(None if identity is None else identity.user_id)
        query = None if declared.query is NoneType else parse_query(request, declared.query)
        body = None if declared.body is NoneType else await parse_body(request, declared.body)
        call = Call(request, body, query, identity)
        deadline = request.headers.get(DEADLINE_HEADER)
        if deadline is None:
            answer = await declared.handler(call)
        else:
            with deadline_from(deadline):
                answer = await declared.handler(call)
        if answer is None:
            return web.Response(status=declared.status)
        return web.Response(
            status=declared.status,
            body=answer.json if isinstance(answer, Encoded) else answer.model_dump_json().encode(),
            content_type="application/json",
            headers={"ETag": f'"{answer.version}"'} if versioned else None,  # type: ignore[union-attr]
        )

    return handle


def parse_query(request: web.Request, model: type[M]) -> M:
    """The query string as a model.

    Raises:
        ServiceError: 422, naming each invalid field.
    """
    given = request.query
    fields = dict(given)
    if len(fields) < len(given):
        repeated = next(key for key in fields if len(given.getall(key)) > 1)
        raise ServiceError.invalid([FieldError(field=repeated, message="is given twice")])
    try:
        return model.model_validate_strings(fields)
    except ValidationError as error:
        raise ServiceError.invalid(field_errors(error)) from None


async def parse_body(request: web.Request, model: type[M]) -> M:
    """The JSON body as a model.

    Raises:
        ServiceError: 400 when it is not JSON, 422 naming each invalid field.
    """
    if request.content_type != "application/json":
        raise ServiceError.malformed("Send the body as application/json.")
    raw = await request.read()
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        if any(e["type"] == "json_invalid" for e in error.errors(include_input=False)):
            raise ServiceError.malformed("The body is not valid JSON.") from None
        raise ServiceError.invalid(field_errors(error)) from None
