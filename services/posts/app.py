"""Wiring of the posts service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.posts.api import ENDPOINTS, SERVICE
from services.posts.authors import Authors
from services.posts.comments import CommentStore
from services.posts.service import PostsService
from services.posts.store import PostStore

_POST_SECONDS = 1800
_POPULAR_SECONDS = 1800
_AUTHORS = web.AppKey("authors", Authors)


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    app = build_app(settings, ENDPOINTS, _wire)
    app.cleanup_ctx.append(_following)
    return app


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    authors = app[_AUTHORS] = Authors(resources.database, resources.peers)
    app[SERVICE] = PostsService(
        PostStore(resources.database, resources.outbox),
        CommentStore(resources.database, resources.outbox),
        authors,
        Cache(resources.redis, "posts", "body", _POST_SECONDS),
        Cache(resources.redis, "posts", "popular", _POPULAR_SECONDS),
        resources.peers,
    )
    return (Subscription("posts.authors", ("user.registered", "user.updated"), authors.apply),)


async def _following(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[_AUTHORS].follow())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
