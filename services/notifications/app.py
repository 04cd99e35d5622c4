"""Wiring of the notifications service."""

from __future__ import annotations

from collections.abc import Sequence

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


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    settings = resources.settings
    devices = DeviceStore(resources.database)
    pusher = Pusher(settings, devices)
    app[DEVICES] = DevicesService(devices, settings)
    live = Live(resources.peers)
    store = NotificationStore(resources.database)
    service = app[SERVICE] = NotificationsService(store, resources.peers, live, pusher.wake)
    days = settings.read_notifications_days, settings.unread_notifications_days
    for job in (
        pusher.run(),
        live.run(),
        expire("notifications", lambda: store.expire(*days)),
    ):
        resources.run(job)
    return (Subscription("notifications.events", TYPES, service.handle),)
