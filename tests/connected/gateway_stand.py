"""A gateway under test: stand-ins for the services behind it, and clients before it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import jwt
from aiohttp import WSMsgType, web

from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import Secrets
from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.messaging import SUBPROTOCOL


class Upstream:
    """A stand-in for a service's instance, which tells what reached it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.hits = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=10 * 2**20)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/api/v1/ws", self._websocket)
        app.router.add_get("/api/v1/posts/slow", self._slow)
        app.router.add_route("*", "/{path:.*}", self._echo)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": self.name})

    async def _echo(self, request: web.Request) -> web.Response:
        self.hits += 1
        if request.path.endswith("/missing"):
            problem = Problem(title="Not Found", status=404, code="post_not_found")
            return web.json_response(problem.model_dump(), status=404)
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        told = {"instance": self.name, "path": request.path_qs, "headers": headers}
        return web.json_response({**told, "length": len(body)})

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.json_response({})

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"{self.name}: {message.data}")
        return socket


class Running(NamedTuple):
    """The gateway under test and what stands around it."""

    stack: Stack
    secrets: Secrets
    state: Path
    upstreams: dict[str, Upstream]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.gateway.port}"

    def token(self, key: str | None = None, **changes: object) -> str:
        now = int(time.time())
        claims = {
            "iss": "pulse",
            "aud": "pulse-api",
            "sub": "0192f0c4-0000-7000-8000-000000000000",
            "sid": "0192f0c4-0000-7000-8000-000000000001",
            "iat": now,
            "exp": now + 60,
        } | changes
        known = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(known, key or self.secrets.get("operator", "token_key"), "HS256")

    def bearer(self, **changes: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(**changes)}"}  # type: ignore[arg-type]


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 15) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.05)


def client_at(gateway: Running, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=gateway.url, transport=transport, timeout=10)


def refused(answer: httpx.Response, status: int, code: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.content, strict=True)
    assert (problem.status, problem.code) == (status, code)
    assert problem.correlation_id == answer.headers["x-correlation-id"] != ""
    assert problem.detail
    return problem
