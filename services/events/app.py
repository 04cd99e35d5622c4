"""Wiring of the events service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.events.answers import AnswerStore
from services.events.api import ENDPOINTS, SERVICE
from services.events.reminders import remind
from services.events.service import EventsService
from services.events.store import EventStore
from services.kit.app import Resources, build_app
from services.kit.blocks import TYPES, Blocks
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings

_EVENT_SECONDS = 300


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = EventStore(resources.database, resources.outbox)
    blocks = Blocks(resources.database)
    app[SERVICE] = EventsService(
        store,
        AnswerStore(resources.database, resources.outbox),
        blocks,
        Cache(resources.redis, "events", "event", _EVENT_SECONDS),
    )
    resources.run(remind(store))
    return (Subscription("events.blocks", TYPES, blocks.apply),)
