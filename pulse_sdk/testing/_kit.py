"""Endpoints of the fake as data: what each takes, and how a request becomes an answer."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from pulse_sdk.contract.common import Page, PageQuery, field_errors
from pulse_sdk.contract.problems import Refusal

if TYPE_CHECKING:
    from pulse_sdk.testing._world import World

B_co = TypeVar("B_co", covariant=True)
Q_co = TypeVar("Q_co", covariant=True)
Item = TypeVar("Item")

_VERSION_TAG = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})"(?=\s*(?:,|$))', re.ASCII)
_LONGEST_KEY = 128


def refused(refusal: Refusal, correlation_id: str) -> httpx.Response:
    """The problem document of a refusal."""
    return httpx.Response(
        refusal.status,
        headers={**refusal.headers, "Content-Type": "application/problem+json"},
        content=refusal.problem(correlation_id),
    )


@dataclass(frozen=True, slots=True)
class Received(Generic[B_co, Q_co]):
    """A request that was understood."""

    caller: UUID
    """Who calls; nobody (`UUID(int=0)`) where no token is needed."""
    session_id: UUID
    body: B_co
    query: Q_co
    path: Mapping[str, str]
    headers: httpx.Headers

    def id(self, name: str) -> UUID:
        """An id in the path; what is none names nothing that exists."""
        try:
            return UUID(self.path[name])
        except ValueError:
            raise Refusal.not_found(name.removesuffix("_id")) from None

    @property
    def key(self) -> str | None:
        """The `Idempotency-Key`."""
        key: str | None = self.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
            message = f"must be 1 to {_LONGEST_KEY} printable characters"
            raise Refusal.of_field("Idempotency-Key", message)
        return key

    def check_version(self, what: str, version: int) -> None:
        """Refuse unless `If-Match`, when given, names this version."""
        given = self.headers.get_list("If-Match")
        if given and "*" not in given:
            allowed = {int(found) for found in _VERSION_TAG.findall(",".join(given))}
            if version not in allowed:
                raise Refusal.stale(what)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path, with the contract's models of what it takes."""

    method: str
    path: str
    handler: Callable[[World, Received[Any, Any]], BaseModel | None]
    body: type[Any] = NoneType
    query: type[Any] = NoneType
    status: int = 200
    public: bool = False

    @property
    def operation(self) -> str:
        """What scripts and tests call it: `POST /api/v1/posts`."""
        return f"{self.method} {self.path}"

    def matches(self, path: str) -> dict[str, str] | None:
        """The parameters in a path that is this endpoint's, else None."""
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()

    def answer(self, world: World, received: Received[Any, Any]) -> httpx.Response:
        """Carry a request out."""
        model = self.handler(world, received)
        if model is None:
            return httpx.Response(204)
        version = getattr(model, "version", None)
        headers = {"Content-Type": "application/json"}
        if version is not None:
            headers["ETag"] = f'"{version}"'
        content = model.model_dump_json().encode()
        return httpx.Response(self.status, headers=headers, content=content)

    def read_query(self, request: httpx.Request) -> Any:
        """The query as its model."""
        if self.query is NoneType:
            return None
        given = httpx.QueryParams(request.url.query)
        for name in given:
            if len(given.get_list(name)) > 1:
                raise Refusal.of_field(name, "is given twice")
        try:
            query = self.query.model_validate_strings(dict(given))
        except ValidationError as error:
            raise Refusal.invalid(field_errors(error)) from None
        if isinstance(query, PageQuery) and query.cursor is not None:
            _decoded(query.cursor)
        return query

    def read_body(self, request: httpx.Request) -> Any:
        """The body as its model."""
        if self.body is NoneType:
            return None
        kind = request.headers.get("Content-Type", "").partition(";")[0]
        if kind.strip().lower() != "application/json":
            raise Refusal.malformed("Send the body as application/json.")
        try:
            return self.body.model_validate_json(request.content)
        except ValidationError as error:
            if any(found["type"] == "json_invalid" for found in error.errors()):
                raise Refusal.malformed("The body is not valid JSON.") from None
            raise Refusal.invalid(field_errors(error)) from None


def page(
    items: Iterable[Item], query: PageQuery, key: Callable[[Item], str], *, newest_first: bool
) -> Page[Item]:
    """A page of a list that is sorted by a key, which the cursor holds."""
    after = None if query.cursor is None else _decoded(query.cursor)
    found = sorted(items, key=key, reverse=newest_first)
    if after is not None:
        found = [i for i in found if (key(i) < after if newest_first else key(i) > after)]
    return page_of(found, query.limit, key)


def page_of(found: list[Item], limit: int, key: Callable[[Item], str]) -> Page[Item]:
    """The first page of what is left of a list."""
    more = len(found) > limit
    last = _encoded(key(found[limit - 1])) if more else None
    return Page(items=found[:limit], next_cursor=last)


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    """The key in a cursor; each ends with an id or a name."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        UUID(key.rpartition(" ")[2])
    except ValueError:
        message = "is not a cursor that this list gave; start without one"
        raise Refusal.of_field("cursor", message) from None
    return key
