"""Wiring of the social service."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from services.kit.app import Resources, build_app
from services.kit.cache import Cache
from services.kit.consumer import Subscription
from services.kit.retention import expire
from services.kit.settings import Settings
from services.social.api import ENDPOINTS, FEED, SERVICE
from services.social.feed import Feed
from services.social.feed_store import FeedStore
from services.social.service import RECOMMENDATION_SECONDS, SocialService
from services.social.store import SocialStore
from services.social.timelines import Timelines


def create_app(settings: Settings) -> web.Application:
    """The service's application."""
    return build_app(settings, ENDPOINTS, _wire)


def _wire(app: web.Application, resources: Resources) -> Sequence[Subscription]:
    store = SocialStore(resources.database, resources.outbox)
    timelines = Timelines(resources.redis)
    candidates = Cache(resources.redis, "social", "recommendations", RECOMMENDATION_SECONDS)
    posts = FeedStore(resources.database)
    feed = Feed(posts, store, timelines, resources.peers)
    app[SERVICE] = SocialService(store, timelines, candidates)
    app[FEED] = feed
    resources.run(expire("deleted_posts", posts.expire))
    return (Subscription("social.posts", ("post.created", "post.deleted"), feed.apply),)
