"""Wiring of the notifications service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.notifications.api import DEVICES, ENDPOINTS, SERVICE
from services.notifications.devices import DeviceStore
from services.notifications.notices import TYPES
from services.notifications.push import DevicesService, Pusher
from services.notifications.service import NotificationsService
from services.notifications.store import NotificationStore

_PUSHER = web.AppKey("pusher", Pusher)


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.cleanup_ctx.append(_pushing)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    settings = resources.settings
    devices = DeviceStore(resources.database)
    pusher = app[_PUSHER] = Pusher(settings, devices)
    app[DEVICES] = DevicesService(devices, settings)
    service = app[SERVICE] = NotificationsService(
        NotificationStore(resources.database), resources.peers, pusher.wake
    )
    return (Subscription("notifications.events", TYPES, service.handle),)


async def _pushing(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[_PUSHER].run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
