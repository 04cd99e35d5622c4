"""Sending people to the services' import endpoints, in batches, and waiting for the feeds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import httpx
import jwt
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, SecretStr

from pulse_cli.errors import NotHealthy
from pulse_cli.stack.model import ServiceName, Stack
from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.internal import (
    ImportAuthor,
    ImportFollow,
    ImportFollows,
    ImportPost,
    ImportPosts,
    ImportUser,
    ImportUsers,
)

T = TypeVar("T")
Advance = Callable[[int], None]
"""Called with the number of rows that have arrived."""

_BATCH = 1000
_IN_FLIGHT = 3
_REQUEST_SECONDS = 30.0
_TOKEN_SECONDS = 600
_STALL_SECONDS = 30.0
_POLL_SECONDS = 0.2


class Importer:
    """Talks to the services of a running stack as its operator."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient, service_key: str) -> None:
        self._stack = stack
        self._client = client
        self._key = service_key

    async def users(
        self, users: Iterable[ImportUser], password: SecretStr, advance: Advance
    ) -> int:
        """Import accounts; how many were new. Raises `NotHealthy`, as the others do."""
        bodies = (
            (ImportUsers(password=password, users=rows), len(rows)) for rows in _batches(users)
        )
        return await self._import("users", bodies, advance)

    async def authors(self, users: Iterable[ImportUser], advance: Advance) -> None:
        """Tell the posts service what people are called: an import publishes no events of them."""
        authors = (
            ImportAuthor(id=user.id, username=user.username, display_name=user.display_name)
            for user in users
        )
        bodies = ((ImportPosts(posts=[], authors=rows), len(rows)) for rows in _batches(authors))
        await self._import("posts", bodies, advance)

    async def follows(self, follows: Iterable[ImportFollow], advance: Advance) -> int:
        """Import follows; how many were new."""
        bodies = ((ImportFollows(follows=rows), len(rows)) for rows in _batches(follows))
        return await self._import("social", bodies, advance)

    async def posts(self, posts: Iterable[ImportPost], advance: Advance) -> int:
        """Import posts; how many were new. The feeds learn of them by events, hence later."""
        bodies = ((ImportPosts(posts=rows, authors=[]), len(rows)) for rows in _batches(posts))
        return await self._import("posts", bodies, advance)

    async def posts_in_feeds(self) -> int:
        """How many posts the social service has taken into feeds since it started."""
        answer = await self._request("social", "GET", "/metrics")
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(answer.text)
                if family.name == "events_handled"
                for sample in family.samples
                if sample.name == "events_handled_total"
                and sample.labels == {"type": "post.created", "outcome": "handled"}
            )
        )

    async def feeds_caught_up(self, before: int, posts: int, advance: Advance) -> None:
        """Wait until `posts` more than `before` are in feeds.

        Raises:
            NotHealthy: for a long time no post was taken in.
        """
        seen, progressed = 0, time.monotonic()
        while seen < posts:
            if time.monotonic() - progressed > _STALL_SECONDS:
                raise NotHealthy(
                    f"the posts are imported, but no feed took one in for {_STALL_SECONDS:.0f} s; "
                    "see: pulse logs social"
                )
            await asyncio.sleep(_POLL_SECONDS)
            now = min(await self.posts_in_feeds() - before, posts)
            if now > seen:
                advance(now - seen)
                seen, progressed = now, time.monotonic()

    async def _import(
        self, service: ServiceName, bodies: Iterator[tuple[BaseModel, int]], advance: Advance
    ) -> int:
        imported = 0

        async def work() -> None:
            nonlocal imported
            for body, size in bodies:  # shared: each worker takes the next batch
                new = await self._send(service, body)
                imported += new
                advance(size)

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(_IN_FLIGHT):
                    workers.create_task(work())
        except* NotHealthy as group:
            raise group.exceptions[0] from None  # the workers' reasons are all the same
        return imported

    async def _send(self, service: ServiceName, body: BaseModel) -> int:
        answer = await self._request(
            service,
            "POST",
            "/internal/import",
            content=body.model_dump_json().encode(),
            headers={
                "Authorization": f"Bearer {self._token(service)}",
                "Content-Type": "application/json",
            },
        )
        return int(answer.json()["imported"])

    async def _request(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        url = f"http://127.0.0.1:{self._stack.instance_port(service, 0)}{path}"
        try:
            answer = await self._client.request(
                method, url, content=content, headers=headers, timeout=_REQUEST_SECONDS
            )
        except httpx.HTTPError as error:
            raise NotHealthy(
                f"{service} cannot be reached at {url} ({type(error).__name__}); see: pulse health"
            ) from None
        if answer.is_error:
            raise NotHealthy(f"{service} refused the import: {_reason(answer)}")
        return answer

    def _token(self, service: ServiceName) -> str:
        now = int(time.time())
        claims = {
            "iss": "pulse-service",
            "sub": "operator",
            "aud": service,
            "iat": now,
            "exp": now + _TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _reason(answer: httpx.Response) -> str:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValueError:
        return f"status {answer.status_code}"
    return f"{problem.code}: {problem.detail}"
