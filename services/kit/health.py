"""`/health/live`, `/health/ready` and `/health`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

from aiohttp import web
from redis.asyncio import Redis

from pulse_sdk.contract.health import Health, Status
from services.kit.bus import Bus
from services.kit.db import Database
from services.kit.settings import Settings

_CHECK_SECONDS = 1.5


class HealthChecks:
    """Asks what this service depends on."""

    def __init__(self, settings: Settings, database: Database, redis: Redis, bus: Bus) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._bus = bus
        self._started = time.monotonic()

    async def ask(self) -> Health:
        """How everything is now."""
        database, redis = await asyncio.gather(
            _status(self._database.ping()), _status(self._redis.ping())
        )
        rabbitmq: Status = "up" if self._bus.connected else "down"
        return Health(
            status="up" if {database, redis, rabbitmq} == {"up"} else "down",
            service=self._settings.name,
            instance=self._settings.instance,
            timestamp=datetime.now(UTC),
            uptime_seconds=round(time.monotonic() - self._started, 3),
            database=database,
            redis=redis,
            rabbitmq=rabbitmq,
        )


CHECKS = web.AppKey("checks", HealthChecks)


async def live(_: web.Request) -> web.Response:
    """200 as soon as the process serves; says nothing of its dependencies."""
    return web.json_response({"status": "up"})


async def details(request: web.Request) -> web.Response:
    """The `Health` document, 503 when anything is down."""
    health = await request.app[CHECKS].ask()
    return web.Response(
        status=200 if health.status == "up" else 503,
        body=health.model_dump_json().encode(),
        content_type="application/json",
    )


async def _status(check: Awaitable[object]) -> Status:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check
    except Exception:
        return "down"
    return "up"
