"""What one request is, before anything of a connection, a token or a retry is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import BaseModel

from pulse_sdk.contract.common import RequestModel
from pulse_sdk.errors import InvalidInput

if TYPE_CHECKING:
    from pulse_sdk.contract.users import Tokens

T = TypeVar("T")

Id = UUID | str
"""An id, as the contract's models carry it or as text."""

_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_DOTS = frozenset({"", ".", ".."})
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")


@dataclass(slots=True)
class Call(Generic[T]):
    """One request and the type of its answer."""

    method: str
    segments: tuple[Id, ...]
    """What `path` is made of, below `/api/v1`."""
    answer: type[T]
    """What a success is read as: a model, or NoneType when its content does not matter."""
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: BaseModel | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    """Sent with every attempt, so that the server carries the request out once."""
    version: int | None = None
    """The version of the thing that a change is meant for (`If-Match`), None for any."""
    idempotent: bool = False
    """Whether sending it twice does no harm, though neither its method nor a key says so."""
    authenticated: bool = True
    """Whether the client's token goes with it."""
    tokens: Callable[[T], Tokens | None] | None = field(default=None, repr=False)
    """What the client acts with once the call has succeeded, None to act as nobody."""
    operation: str = ""
    """The method that made it, such as `posts.create`."""
    path: str = field(init=False)
    """The quoted path; no segment can leave its place, whatever it holds."""

    def __post_init__(self) -> None:
        path = "/api/v1"
        for segment in map(str, self.segments):
            # None of these can be quoted: servers read "%2E%2E" as "..".
            if segment in _DOTS:
                raise InvalidInput.of("id", f"{segment!r} cannot be part of a path")
            path += "/" + quote(segment, safe="")
        self.path = path

    @property
    def retryable(self) -> bool:
        """Whether sending it twice has the effect of sending it once."""
        keyed = self.idempotency_key is not None
        return keyed or self.idempotent or self.method in _IDEMPOTENT_METHODS


def key_or_new(idempotency_key: str | None) -> str:
    """The caller's idempotency key, or a fresh one.

    Raises:
        InvalidInput: A header cannot carry the key.
    """
    if idempotency_key is None:
        return str(uuid4())
    return header_text("idempotency_key", idempotency_key)


def header_text(name: str, text: str) -> str:
    """`text` when a header can carry it. The error names the argument and hides its value.

    Raises:
        InvalidInput: It is empty, or has white space or characters outside ASCII.
    """
    if not isinstance(text, str) or not _HEADER_TEXT.fullmatch(text):
        raise InvalidInput.of(name, "must be visible ASCII characters without white space")
    return text


def query_of(model: RequestModel) -> dict[str, str | int]:
    """A query model as parameters, without those left out."""
    return model.model_dump(mode="json", exclude_none=True)
