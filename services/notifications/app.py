"""Wiring of the notifications service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.notifications.api import ENDPOINTS, SERVICE
from services.notifications.notices import TYPES
from services.notifications.service import NotificationsService
from services.notifications.store import NotificationStore


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    service = app[SERVICE] = NotificationsService(
        NotificationStore(resources.database), resources.peers
    )
    return (Subscription("notifications.events", TYPES, service.handle),)
