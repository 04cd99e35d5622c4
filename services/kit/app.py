"""Assembling and running a service."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import uvloop
from aiohttp import web
from pydantic import ValidationError
from redis.asyncio import Redis

from pulse_sdk.contract.common import field_errors
from services.kit.bus import Bus
from services.kit.cache import open_redis
from services.kit.consumer import Subscription
from services.kit.db import Database, open_database
from services.kit.errors import problems
from services.kit.health import CHECKS, HealthChecks, details, live
from services.kit.http import MAX_BODY_BYTES, MAX_LINE_BYTES, Endpoint, add_endpoints
from services.kit.observe import configure_logging, metrics, observed
from services.kit.outbox import Outbox
from services.kit.peers import Peers, open_peers
from services.kit.settings import Settings, load_settings
from services.kit.tasks import ended
from services.kit.tracing import open_tracing

_SHUTDOWN_SECONDS = 3.0
_BACKLOG = 1024
"""Connections that may wait to be accepted: a gateway opens hundreds at once when we fall behind,
and those past the limit would be refused."""
_GC_THRESHOLDS = (20_000, 20, 50)
"""A request leaves hundreds of objects behind, nearly none of them in cycles: look less often."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a service is wired from. Everything in it is open, and closed after the service."""

    settings: Settings
    database: Database
    redis: Redis
    peers: Peers
    outbox: Outbox
    exit_stack: AsyncExitStack
    """For what the service opens itself."""

    def run(self, job: Coroutine[Any, Any, None]) -> None:
        """Have a job done beside the requests, as long as the service lives."""
        self.exit_stack.push_async_callback(ended, asyncio.create_task(job))


Wire = Callable[[web.Application, Resources], Sequence[Subscription]]
"""Puts the service into the application and says what it subscribes to."""


def build_app(settings: Settings, endpoints: Iterable[Endpoint], wire: Wire) -> web.Application:
    """An aiohttp application that serves the endpoints, health and metrics."""
    app = web.Application(
        middlewares=[observed, problems],
        client_max_size=MAX_BODY_BYTES,
        handler_args={"max_line_size": MAX_LINE_BYTES, "max_field_size": MAX_LINE_BYTES},
    )
    add_endpoints(app, settings, endpoints)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", details)
    app.router.add_get("/health", details)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(open_redis(settings))
            database = await stack.enter_async_context(open_database(settings, redis))
            peers = await stack.enter_async_context(open_peers(settings))
            outbox = Outbox(settings, database)
            opened = Resources(settings, database, redis, peers, outbox, stack)
            bus = Bus(settings, outbox, wire(app, opened))
            app[CHECKS] = HealthChecks(settings, database, redis, bus)
            opened.run(bus.run())
            gc.collect()
            gc.freeze()  # what lives as long as the process need not be looked at again
            gc.set_threshold(*_GC_THRESHOLDS)
            yield

    app.cleanup_ctx.append(resources)
    return app


def run(create_app: Callable[[Settings], web.Application]) -> None:
    """Serve until SIGTERM; then finish what is under way and exit. The process's entry point."""
    try:
        settings = load_settings()
    except ValidationError as error:
        wrong = "; ".join(f"{e.field}: {e.message}" for e in field_errors(error))
        sys.exit(f"wrong settings (SERVICE_* and files in SERVICE_SECRETS_DIR): {wrong}")
    configure_logging(settings.name, settings.instance, settings.log_level)
    close_tracing = open_tracing(settings)
    web.run_app(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=None,
        print=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        backlog=_BACKLOG,
        loop=uvloop.new_event_loop(),
    )
    close_tracing()
