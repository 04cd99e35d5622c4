"""Wiring of the users service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.users.api import ENDPOINTS, SERVICE
from services.users.attempts import Attempts
from services.users.passwords import Passwords
from services.users.service import UsersService
from services.users.sessions import Sessions
from services.users.store import UserStore

_PROFILE_SECONDS = 300


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    app[SERVICE] = UsersService(
        UserStore(resources.database, resources.outbox),
        Cache(resources.redis, "users", "profile", _PROFILE_SECONDS),
        Passwords(resources.exit_stack),
        Sessions(resources.redis, resources.settings),
        Attempts(resources.redis),
    )
    return ()
