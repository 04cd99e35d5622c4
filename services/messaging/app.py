"""Wiring of the messaging service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.messaging.api import ENDPOINTS, SERVICE
from services.messaging.live import Live
from services.messaging.service import MessagingService
from services.messaging.sockets import LIVE, PATH, close_sockets, socket_handler
from services.messaging.store import MessagingStore

_CONVERSATION_SECONDS = 300


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.router.add_get(PATH, socket_handler(settings), allow_head=False)
    app.cleanup_ctx.append(_listening)
    app.on_shutdown.append(close_sockets)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    live = app[LIVE] = Live(resources.redis)
    app[SERVICE] = MessagingService(
        MessagingStore(resources.database, resources.outbox),
        Cache(resources.redis, "messaging", "conversation", _CONVERSATION_SECONDS),
        live,
    )
    return ()


async def _listening(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[LIVE].run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
