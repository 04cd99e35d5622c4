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
from pulse_sdk.contract.social import (
    Block,
    Counts,
    FeedPage,
    Follow,
    Recommendations,
    RecommendationsQuery,
    Relation,
)
from services.kit.http import Access, Call, Encoded, endpoint
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
    return await call.app[SERVICE].following(call.user.user_id, call.query)


async def followers(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those who follow the caller, latest first."""
    return await call.app[SERVICE].followers(call.user.user_id, call.query)


async def mutuals(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those whom the caller follows and who follow back, latest first."""
    return await call.app[SERVICE].mutuals(call.user.user_id, call.query)


async def following_of(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those whom anyone follows, latest first."""
    return await call.app[SERVICE].following(call.id("user_id"), call.query)


async def followers_of(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those who follow anyone, latest first."""
    return await call.app[SERVICE].followers(call.id("user_id"), call.query)


async def mutuals_of(call: Call[None, PageQuery]) -> Page[Follow]:
    """Those whom anyone follows and who follow back, latest first."""
    return await call.app[SERVICE].mutuals(call.id("user_id"), call.query)


async def counts(call: Call[None, None]) -> Counts:
    """How many follow anyone, and how many they follow."""
    return await call.app[SERVICE].counts(call.id("user_id"))


async def relation(call: Call[None, None]) -> Relation:
    """What is between the caller and someone else."""
    return await call.app[SERVICE].relation(call.user, call.id("user_id"))


async def block(call: Call[None, None]) -> None:
    """Block someone: neither follows the other, now or later."""
    await call.app[SERVICE].block(call.user, call.id("user_id"))


async def unblock(call: Call[None, None]) -> None:
    """Stop blocking someone."""
    await call.app[SERVICE].unblock(call.user, call.id("user_id"))


async def blocks(call: Call[None, PageQuery]) -> Page[Block]:
    """Those whom the caller blocks, latest first."""
    return await call.app[SERVICE].blocks(call.user, call.query)


async def recommendations(call: Call[None, RecommendationsQuery]) -> Recommendations:
    """People to follow: friends of friends, those with most in common first."""
    return await call.app[SERVICE].recommendations(call.user, call.query)


async def feed(call: Call[None, PageQuery]) -> Encoded[FeedPage]:
    """Posts of those the caller follows, newest first."""
    return Encoded(await call.app[FEED].page(call.user.user_id, call.query))


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


_SOCIAL = "/api/v1/social"
_USER = f"{_SOCIAL}/users/{{user_id}}"

ENDPOINTS = (
    endpoint("PUT", f"{_SOCIAL}/following/{{user_id}}", follow),
    endpoint("DELETE", f"{_SOCIAL}/following/{{user_id}}", unfollow),
    endpoint("GET", f"{_SOCIAL}/following", following, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_SOCIAL}/followers", followers, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_SOCIAL}/mutuals", mutuals, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_USER}/following", following_of, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_USER}/followers", followers_of, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_USER}/mutuals", mutuals_of, query=PageQuery, returns=Page[Follow]),
    endpoint("GET", f"{_USER}/counts", counts, returns=Counts),
    endpoint("GET", f"{_USER}/relation", relation, returns=Relation),
    endpoint("PUT", f"{_SOCIAL}/blocks/{{user_id}}", block),
    endpoint("DELETE", f"{_SOCIAL}/blocks/{{user_id}}", unblock),
    endpoint("GET", f"{_SOCIAL}/blocks", blocks, query=PageQuery, returns=Page[Block]),
    endpoint(
        "GET",
        f"{_SOCIAL}/recommendations",
        recommendations,
        query=RecommendationsQuery,
        returns=Recommendations,
    ),
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
