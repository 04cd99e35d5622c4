"""What the tests of log-ins share: a clock, tokens and a server of accounts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx

from pulse_sdk import AsyncPulse, Pulse
from tests.unit.sdk_support import POST, Caller, tokens


class Clock:
    """The time as `auth` sees it; the wall clock may be wrong."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


def jwt(**claims: Any) -> str:
    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


class Accounts:
    """Logs anybody in and gives posts to the newest token; each refresh token works once."""

    def __init__(self) -> None:
        self.generation = 0
        self.seen: list[str] = []
        self.failing = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.seen.append(path)
        if path == "/auth/logout":
            return httpx.Response(204)
        if path.startswith("/auth/"):
            if self.failing:
                self.failing -= 1
                return httpx.Response(503)
            asked = json.loads(request.content)
            if path == "/auth/refresh" and asked["refresh_token"] != f"refresh-{self.generation}":
                return httpx.Response(401)
            self.generation += 1
            return httpx.Response(200, json=tokens(self.generation))
        if request.headers.get("Authorization") != f"Bearer access-{self.generation}":
            return httpx.Response(401)
        return httpx.Response(200, json=POST)


async def log_in(caller: Caller, handler: Callable[..., httpx.Response], **options: Any) -> Any:
    transport = httpx.MockTransport(handler)
    if caller.kind == "sync":
        http = httpx.Client(transport=transport)
        return Pulse.login("http://pulse", "ada", "password-1", http_client=http, **options)
    async_http = httpx.AsyncClient(transport=transport)
    return await AsyncPulse.login(
        "http://pulse", "ada", "password-1", http_client=async_http, **options
    )
