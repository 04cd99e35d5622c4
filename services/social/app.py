"""Wiring of the social service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.consumer import Subscription
from services.kit.settings import Settings
from services.social.api import ENDPOINTS, FEED, SERVICE
from services.social.feed import Feed
from services.social.service import SocialService
from services.social.store import SocialStore
from services.social.timelines import Timelines


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = SocialStore(resources.database, resources.outbox)
    timelines = Timelines(resources.redis)
    feed = Feed(store, timelines, resources.peers)
    app[SERVICE] = SocialService(store, timelines)
    app[FEED] = feed
    return (Subscription("social.posts", ("post.created", "post.deleted"), feed.apply),)
