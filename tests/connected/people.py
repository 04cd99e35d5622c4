"""People and second instances for tests against a running stack."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
from aiohttp import web

from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets.local.programs import local_environment
from pulse_sdk.contract.common import Problem
from services.kit.ids import new_id
from services.kit.settings import Settings
from tests.conftest import RunningStack

_addresses = itertools.count(1)

WITHIN = 60.0
"""Seconds after which what does not come is given up; it comes in a fraction of one."""


def fresh_address() -> str:
    """A client address that no other test has: limits count by address."""
    number = next(_addresses)
    return f"127.77.{number // 250}.{number % 250 + 1}"


@dataclass(frozen=True)
class Person:
    """Somebody with an access token, and a client that shows it."""

    id: UUID
    token: str
    http: httpx.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        """What shows who calls."""
        return {"Authorization": f"Bearer {self.token}"}


class People:
    """Makes people that need no account: services believe the token alone."""

    def __init__(self, stack: RunningStack, clients: AsyncExitStack) -> None:
        self._base_url = stack.gateway_url
        self._tokens = stack.stack.tokens
        self._token_key = (stack.state / "secrets" / "operator" / "token_key").read_text().strip()
        self._clients = clients

    async def new(self, lives_seconds: float = 600) -> Person:
        """A person with an address of their own, since the gateway limits each address."""
        person = new_id()
        now = time.time()
        claims = {
            "iss": self._tokens.issuer,
            "aud": self._tokens.audience,
            "sub": str(person),
            "sid": str(new_id()),
            "iat": int(now),
            "exp": now + lives_seconds,
        }
        token = jwt.encode(claims, self._token_key, algorithm="HS256")
        client = httpx.AsyncClient(
            base_url=self._base_url,
            transport=httpx.AsyncHTTPTransport(local_address=fresh_address()),
            headers={"Authorization": f"Bearer {token}"},
            timeout=WITHIN,
        )
        return Person(person, token, await self._clients.enter_async_context(client))


def settings_of(service: ServiceName, stack: Stack, state: Path) -> Settings:
    """The settings of one more instance of a service, with few database connections."""
    environment = local_environment(stack, service, 0, state)
    values = {key.removeprefix("SERVICE_").lower(): value for key, value in environment.items()}
    secrets = {
        file.name: file.read_text().strip() for file in Path(values["secrets_dir"]).iterdir()
    }
    return Settings.model_validate({**values, **secrets, "pool_size": 2})


async def until(
    ask: Callable[[], Awaitable[object]], wanted: object, within: float = WITHIN
) -> None:
    """Ask until the answer is what is wanted; fails with the last answer."""
    deadline = time.monotonic() + within
    answer = await ask()
    while answer != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        answer = await ask()
    assert answer == wanted


async def all_of(
    reader: Person, path: str, limit: int = 100, **params: str | int
) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await reader.http.get(path, params={"limit": limit, **params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error answer."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.status_code, Problem.model_validate_json(answer.content).code


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve an application in this process; its base URL."""
    runner = web.AppRunner(app, shutdown_timeout=3)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
