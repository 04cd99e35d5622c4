"""Wiring of the messaging service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.blocks import TYPES, Blocks
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


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.router.add_get(PATH, socket_handler(settings), allow_head=False)
    app.on_shutdown.append(close_sockets)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = ConversationStore(resources.database)
    mail = app[MAIL] = MailStore(resources.database, resources.outbox)
    live = app[LIVE] = Live(resources.redis, mail.positions)
    presence = app[PRESENCE] = PresenceBoard(resources.redis, live, store)
    app[SIGNALS] = Signals(store, live, presence)
    app[SERVICE] = MessagingService(store, mail, live, presence)
    days = resources.settings.deliveries_days
    for job in (
        live.run(),
        live.compare(),
        presence.renew(),
        expire("deliveries", lambda: mail.expire(days)),
    ):
        resources.run(job)
    blocks = Blocks(resources.database)
    return (Subscription("messaging.blocks", TYPES, blocks.apply),)
