"""Wiring of the notifications service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.consumer import Subscription
from services.kit.retention import expire
from services.kit.settings import Settings
from services.notifications.api import DEVICES, ENDPOINTS, SERVICE
from services.notifications.devices import DeviceStore
from services.notifications.live import Live
from services.notifications.notices import TYPES
from services.notifications.push import DevicesService, Pusher
from services.notifications.service import NotificationsService
from services.notifications.store import NotificationStore

_LIVE = web.AppKey("live", Live)
_PUSHER = web.AppKey("pusher", Pusher)
_SETTINGS = web.AppKey("settings", Settings)
_STORE = web.AppKey("store", NotificationStore)


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.cleanup_ctx.append(_delivering)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    settings = resources.settings
    devices = DeviceStore(resources.database)
    pusher = app[_PUSHER] = Pusher(settings, devices)
    app[DEVICES] = DevicesService(devices, settings)
    live = app[_LIVE] = Live(resources.peers)
    store = app[_STORE] = NotificationStore(resources.database)
    service = app[SERVICE] = NotificationsService(store, resources.peers, live, pusher.wake)
    app[_SETTINGS] = settings
    return (Subscription("notifications.events", TYPES, service.handle),)


async def _delivering(app: web.Application) -> AsyncIterator[None]:
    settings = app[_SETTINGS]
    days = settings.read_notifications_days, settings.unread_notifications_days
    old = expire("notifications", lambda: app[_STORE].expire(*days))
    tasks = [asyncio.create_task(job) for job in (app[_PUSHER].run(), app[_LIVE].run(), old)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
