"""Wiring of the events service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web

from services.events.answers import AnswerStore
from services.events.api import ENDPOINTS, SERVICE
from services.events.reminders import remind
from services.events.service import EventsService
from services.events.store import EventStore
from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings

_EVENT_SECONDS = 300

_STORE = web.AppKey("store", EventStore)


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.cleanup_ctx.append(_reminding)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = app[_STORE] = EventStore(resources.database, resources.outbox)
    app[SERVICE] = EventsService(
        store,
        AnswerStore(resources.database, resources.outbox),
        Cache(resources.redis, "events", "event", _EVENT_SECONDS),
    )
    return ()


async def _reminding(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(remind(app[_STORE]))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
