"""What the tests of calls share: a scripted server and a client of either kind."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, TypeVar

import httpx

from pulse_sdk import AsyncPulse, Backoff, Pulse, Retries

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]
ID = "0190b6f0-0000-7000-8000-000000000001"
NOW = "2026-01-01T00:00:00Z"
POST = {
    "id": ID,
    "author_id": ID,
    "text": "hello",
    "like_count": 0,
    "comment_count": 0,
    "created_at": NOW,
}
QUICK = Retries(limit=2, backoff=Backoff(first=0.001, most=0.002), retry_after_cap=0.05)


def tokens(generation: int) -> dict[str, Any]:
    return {
        "access_token": f"access-{generation}",
        "refresh_token": f"refresh-{generation}",
        "expires_in": 900,
    }


class Server:
    """Answers from a script, the last entry for ever, and keeps the requests."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        # A fresh one each time: a response that was read cannot be read again.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class Caller:
    """A client of either kind; `do` runs one call of it to its end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def client(self, handler: Handler, **options: Any) -> Any:
        options = {"retries": QUICK, **options}
        transport = httpx.MockTransport(handler)
        if self.kind == "sync":
            return Pulse("http://pulse", http_client=httpx.Client(transport=transport), **options)
        http = httpx.AsyncClient(transport=transport)
        return AsyncPulse("http://pulse", http_client=http, **options)

    async def do(self, outcome: T | Awaitable[T]) -> T:
        return await outcome if inspect.isawaitable(outcome) else outcome

    async def items(self, iterable: Any) -> list[Any]:
        if isinstance(iterable, AsyncIterable):
            return [item async for item in iterable]
        return list(iterable)
