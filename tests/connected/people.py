"""People and second instances for tests against a running stack."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
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
        number = next(_addresses)
        transport = httpx.AsyncHTTPTransport(
            local_address=f"127.77.{number // 250}.{number % 250 + 1}"
        )
        client = httpx.AsyncClient(
            base_url=self._base_url,
            transport=transport,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
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


async def until(ask: Callable[[], Awaitable[object]], wanted: object, within: float = 10.0) -> None:
    """Ask until the answer is what is wanted; fails with the last answer."""
    deadline = time.monotonic() + within
    answer = await ask()
    while answer != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        answer = await ask()
    assert answer == wanted


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
