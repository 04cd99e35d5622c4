"""Wiring of the posts service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.blocks import TYPES, Blocks
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


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    authors = Authors(resources.database, resources.peers)
    blocks = Blocks(resources.database)
    app[SERVICE] = PostsService(
        PostStore(resources.database, resources.outbox),
        CommentStore(resources.database, resources.outbox),
        authors,
        blocks,
        Cache(resources.redis, "posts", "body", _POST_SECONDS),
        Cache(resources.redis, "posts", "popular", _POPULAR_SECONDS),
        resources.peers,
    )
    resources.run(authors.follow())
    return (
        Subscription("posts.authors", ("user.registered", "user.updated"), authors.apply),
        Subscription("posts.blocks", TYPES, blocks.apply),
    )
