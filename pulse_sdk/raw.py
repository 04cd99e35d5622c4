"""Answers with what came with them: `client.raw.posts.get(post_id).headers["ETag"]`.

`client.raw` has the same areas and methods as the client, with the same arguments; each returns an
`Answer` around what the client's own method returns. A list is the one page that `limit` and
`cursor` name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pulse_sdk
from pulse_sdk._areas import Areas, Kind
from pulse_sdk._call import Call
from pulse_sdk.contract.common import Page
from pulse_sdk.hooks import Reply

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
PageT = TypeVar("PageT", bound="Page[Any]")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a call brought, and how."""

    value: T_co
    """What the client's own method returns."""
    reply: Reply
    """The successful answer as it came."""
    attempts: int
    """How often the request was sent."""
    correlation_id: str
    """What finds this call in the server's logs."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; finds names whatever their case."""
        return self.reply.headers


class RawPulse(Areas):
    """The areas of a `Pulse`, with methods that return an `Answer`."""

    _kind = Kind({"send": (Answer, False), "list": (Answer, False)})

    def __init__(self, client: pulse_sdk.Pulse) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    def send(self, call: Call[T]) -> Answer[T]:
        """Send a call; raises as `Flow.run` does."""
        return self._client.drive(self._client.flow.run(call))

    def list(self, call: Call[PageT]) -> Answer[PageT]:
        """The page that the call names."""
        return self.send(call)


class AsyncRawPulse(Areas):
    """The areas of an `AsyncPulse`, with methods that return an `Answer`."""

    _kind = Kind({"send": (Answer, True), "list": (Answer, True)})

    def __init__(self, client: pulse_sdk.AsyncPulse) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    async def send(self, call: Call[T]) -> Answer[T]:
        """Send a call; raises as `Flow.run` does."""
        return await self._client.drive(self._client.flow.run(call))

    async def list(self, call: Call[PageT]) -> Answer[PageT]:
        """The page that the call names."""
        return await self.send(call)
