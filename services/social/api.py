"""HTTP endpoints of the social service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import (
    FollowersPage,
    FollowersQuery,
    FollowStatus,
    Imported,
    ImportFollows,
)
from pulse_sdk.contract.social import FeedPage, Follow
from services.kit.http import Access, Call, endpoint
from services.social.feed import Feed
from services.social.service import SocialService

SERVICE = web.AppKey("service", SocialService)
FEED = web.AppKey("feed", Feed)


async def follow(call: Call[None, None]) -> None:
    """Follow someone."""
    await call.app[SERVICE].follow(call.user, call.id("user_id"))


async def unfollow(call: Call[None, None]) -> None:
    """Stop following someone."""
    await call.app[SERVICE].unfollow(call.user, call.id("user_id"))


async def following(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those whom the caller follows, latest first."""
    return await call.app[SERVICE].following(call.user, call.query)


async def followers(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those who follow the caller, latest first."""
    return await call.app[SERVICE].followers(call.user, call.query)


async def feed(call: Call[None, PageQuery]) -> FeedPage:
    """Posts of those the caller follows, newest first."""
    return await call.app[FEED].page(call.user.user_id, call.query)


async def follower_ids(call: Call[None, FollowersQuery]) -> FollowersPage:
    """Ids of anyone's followers, for other services."""
    return await call.app[SERVICE].follower_ids(call.id("user_id"), call.query)


async def follow_status(call: Call[None, None]) -> FollowStatus:
    """Whether one person follows another, for other services."""
    follows = await call.app[SERVICE].follows(call.id("follower_id"), call.id("followee_id"))
    return FollowStatus(follows=follows)


async def import_follows(call: Call[ImportFollows, None]) -> Imported:
    """Add follows, for the operator."""
    return await call.app[SERVICE].import_follows(call.body)


_FOLLOWING = "/api/v1/social/following"

ENDPOINTS = (
    endpoint("PUT", f"{_FOLLOWING}/{{user_id}}", follow),
    endpoint("DELETE", f"{_FOLLOWING}/{{user_id}}", unfollow),
    endpoint("GET", _FOLLOWING, following, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", "/api/v1/social/followers", followers, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", "/api/v1/feed", feed, query=PageQuery, returns=FeedPage),
    endpoint(
        "GET",
        "/internal/followers/{user_id}",
        follower_ids,
        query=FollowersQuery,
        returns=FollowersPage,
        access=Access.SERVICE,
        callers=("notifications",),
    ),
    endpoint(
        "GET",
        "/internal/follows/{follower_id}/{followee_id}",
        follow_status,
        returns=FollowStatus,
        access=Access.SERVICE,
        callers=("posts",),
    ),
    endpoint(
        "POST",
        "/internal/import",
        import_follows,
        body=ImportFollows,
        returns=Imported,
        access=Access.SERVICE,
        callers=("operator",),
    ),
)
