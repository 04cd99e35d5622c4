"""Wiring of the messaging service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.consumer import Subscription
from services.kit.retention import expire
from services.kit.settings import Settings
from services.messaging.api import ENDPOINTS, SERVICE
from services.messaging.live import Live
from services.messaging.mail import MailStore
from services.messaging.presence import PresenceBoard
from services.messaging.service import MessagingService
from services.messaging.signals import Signals
from services.messaging.sockets import (
    LIVE,
    MAIL,
    PATH,
    PRESENCE,
    SIGNALS,
    close_sockets,
    socket_handler,
)
from services.messaging.store import ConversationStore

_SETTINGS = web.AppKey("settings", Settings)


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.router.add_get(PATH, socket_handler(settings), allow_head=False)
    app.cleanup_ctx.append(_listening)
    app.on_shutdown.append(close_sockets)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = ConversationStore(resources.database)
    app[_SETTINGS] = resources.settings
    mail = app[MAIL] = MailStore(resources.database, resources.outbox)
    live = app[LIVE] = Live(resources.redis, mail.positions)
    presence = app[PRESENCE] = PresenceBoard(resources.redis, live, store)
    app[SIGNALS] = Signals(store, live, presence)
    service = app[SERVICE] = MessagingService(store, mail, live, presence)
    return (Subscription("messaging.blocks", ("user.blocked", "user.unblocked"), service.apply),)


async def _listening(app: web.Application) -> AsyncIterator[None]:
    days = app[_SETTINGS].deliveries_days
    old = expire("deliveries", lambda: app[MAIL].expire(days))
    jobs = (app[LIVE].run(), app[LIVE].compare(), app[PRESENCE].renew(), old)
    tasks = [asyncio.create_task(job) for job in jobs]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
