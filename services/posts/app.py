"""Wiring of the posts service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.posts.api import ENDPOINTS, SERVICE
from services.posts.service import PostsService
from services.posts.store import PostStore

_POST_SECONDS = 1800


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    app[SERVICE] = PostsService(
        PostStore(resources.database, resources.outbox),
        Cache(resources.redis, "posts", "post", _POST_SECONDS),
    )
    return ()
