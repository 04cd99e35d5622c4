"""Whether all of a stack is well: every instance, every store, and each route end to end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import httpx
import jwt
from redis.asyncio import Redis
from redis.exceptions import RedisError

from pulse_cli.errors import NotHealthy
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, Route, ServiceName, Stack
from pulse_cli.stack.secrets import OPERATOR, Secrets
from pulse_cli.targets import probes

TIMEOUT_SECONDS = 2.0
POLL_SECONDS = 0.25
TOKEN_SECONDS = 60
NOBODY = str(UUID(int=0))
"""Subject and session of the probes' token: no user and no session has the nil UUID."""

WEBSOCKET_REFUSALS = (400, 426)
"""What a WebSocket's path answers to a GET that asks for no upgrade."""

Kind = Literal["instance", "store", "route"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    kind: Kind
    name: str
    healthy: bool
    said: str
    ms: float


@dataclass(frozen=True)
class _Answer:
    healthy: bool
    said: str


async def check(stack: Stack, secrets: Secrets) -> list[Check]:
    """Look at all of a running stack, everything at once."""
    token = _token(stack, secrets)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        looks = [
            *(
                _timed("instance", f"{name}-{index}", _instance(client, stack, name, index))
                for name in SERVICE_NAMES
                for index in range(stack.services[name].replicas)
            ),
            *_stores(stack, secrets),
            *(
                _timed("route", route.prefix, _route(client, stack, route, token))
                for route in ROUTES
            ),
        ]
        return await asyncio.gather(*looks)


def _stores(stack: Stack, secrets: Secrets) -> list[Awaitable[Check]]:
    """Look at the stores; those that a cloud runs are seen by the instances alone."""
    if stack.target == "kubernetes" and stack.kubernetes.overlay != "dev":
        return []
    return [
        _store("postgres", probes.postgres, stack.postgres.host, stack.postgres.port),
        *_replica(stack, secrets),
        _timed("store", "redis", _redis(stack, secrets)),
        _store("rabbitmq", probes.amqp, stack.rabbitmq.host, stack.rabbitmq.port),
    ]


async def _timed(kind: Kind, name: str, look: Awaitable[_Answer]) -> Check:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await look
    except (TimeoutError, httpx.TimeoutException):
        answer = _Answer(False, f"no answer within {TIMEOUT_SECONDS:g} s")
    except httpx.TransportError as error:
        answer = _Answer(False, str(error) or type(error).__name__)
    ms = (time.perf_counter() - started) * 1000
    return Check(kind, name, answer.healthy, answer.said, round(ms, 1))


async def _instance(
    client: httpx.AsyncClient, stack: Stack, name: ServiceName, index: int
) -> _Answer:
    url = f"http://127.0.0.1:{stack.instance_port(name, index)}"
    live, details = await asyncio.gather(
        client.get(f"{url}/health/live"), client.get(f"{url}/health")
    )
    if live.status_code != 200:
        return _Answer(False, f"/health/live answered {live.status_code}")
    told = _document(details)
    parts = [f"{part} {told[part]}" for part in ("database", "redis", "rabbitmq") if part in told]
    said = ", ".join(parts) or f"/health answered {details.status_code}"
    return _Answer(details.status_code == 200, said)


def _store(
    name: str, probe: Callable[[str, int], probes.Answer], host: str, port: int
) -> Awaitable[Check]:
    async def look() -> _Answer:
        answer = await asyncio.to_thread(probe, host, port)
        return _Answer(answer.ready, "accepts connections" if answer.ready else answer.said)

    return _timed("store", name, look())


def _replica(stack: Stack, secrets: Secrets) -> Iterator[Awaitable[Check]]:
    async def look() -> _Answer:
        from pulse_cli.replication import lag  # a stack without a replica needs no driver

        try:
            seconds = await asyncio.to_thread(lag, stack, secrets)
        except NotHealthy as error:
            return _Answer(False, str(error))
        return _Answer(True, f"has what the server has after {seconds * 1000:.0f} ms")

    if stack.postgres.replica:
        yield _timed("store", "postgres-replica", look())


async def _redis(stack: Stack, secrets: Secrets) -> _Answer:
    client = Redis(
        host=stack.redis.host,
        port=stack.redis.port,
        password=secrets.get(OPERATOR, "redis_password"),
    )
    try:
        await client.ping()
    except RedisError as error:
        return _Answer(False, str(error))
    finally:
        await client.aclose()
    return _Answer(True, "answers PING")


async def _route(client: httpx.AsyncClient, stack: Stack, route: Route, token: str) -> _Answer:
    """Healthy is an answer of the service itself, be it that nobody may not have this."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = await client.get(stack.gateway_url + route.probe, headers=headers)
    status = answer.status_code
    if status == 200 or (route.websocket and status in WEBSOCKET_REFUSALS):
        return _Answer(True, f"{route.service} answered {status}")
    code = _document(answer).get("code")
    if not isinstance(code, str):
        return _Answer(False, f"answered {status} without a problem document")
    if code.startswith("gateway_"):
        return _Answer(False, f"the gateway answered {status} {code}")
    return _Answer(status < 500, f"{route.service} answered {status} {code}")


def _document(answer: httpx.Response) -> dict[str, object]:
    try:
        document = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def _token(stack: Stack, secrets: Secrets) -> str:
    now = int(time.time())
    claims = {
        "iss": stack.tokens.issuer,
        "aud": stack.tokens.audience,
        "sub": NOBODY,
        "sid": NOBODY,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    return jwt.encode(claims, secrets.get(OPERATOR, "token_key"), algorithm="HS256")
