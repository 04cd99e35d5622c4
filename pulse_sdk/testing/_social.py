"""Follows, blocks, recommendations and the feed of the fake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.contract.social import (
    Block,
    Counts,
    FeedPage,
    Follow,
    Recommendation,
    Recommendations,
    RecommendationsQuery,
    Relation,
)
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._posts import listed
from pulse_sdk.testing._world import Tie, World

_MOST_FOLLOWED = 5_000


def follow(world: World, got: Received[None, None]) -> None:
    """Follow someone."""
    other = got.id("user_id")
    if other == got.caller:
        raise Refusal.conflict("follow_oneself", "Nobody can follow themselves.")
    if (got.caller, other) in world.follows:
        return
    if len(_following(world, got.caller)) >= _MOST_FOLLOWED:
        detail = f"Nobody can follow more than {_MOST_FOLLOWED:,} people."
        raise Refusal.conflict("following_too_many", detail)
    if world.blocked(got.caller, [other]):
        raise Refusal.forbidden("blocked", "One of you blocks the other.")
    _tie(world, world.follows, got.caller, other)
    world.notify([other], "follower", got.caller)


def unfollow(world: World, got: Received[None, None]) -> None:
    """Stop following someone."""
    world.follows.pop((got.caller, got.id("user_id")), None)


def block(world: World, got: Received[None, None]) -> None:
    """Block someone: neither follows the other, now or later."""
    other = got.id("user_id")
    if other == got.caller:
        raise Refusal.conflict("block_oneself", "Nobody can block themselves.")
    if (got.caller, other) not in world.blocks:
        _tie(world, world.blocks, got.caller, other)
        world.follows.pop((got.caller, other), None)
        world.follows.pop((other, got.caller), None)


def unblock(world: World, got: Received[None, None]) -> None:
    """Stop blocking someone."""
    world.blocks.pop((got.caller, got.id("user_id")), None)


def following(world: World, got: Received[None, PageQuery]) -> Page[Follow]:
    """Those whom someone follows, latest first."""
    ties = _following(world, _whose(got))
    return _follows({tie.of: tie for tie in ties}, got.query)


def followers(world: World, got: Received[None, PageQuery]) -> Page[Follow]:
    """Those who follow someone, latest first."""
    whose = _whose(got)
    ties = {tie.by: tie for tie in world.follows.values() if tie.of == whose}
    return _follows(ties, got.query)


def mutuals(world: World, got: Received[None, PageQuery]) -> Page[Follow]:
    """Those whom someone follows and who follow back, latest first."""
    whose = _whose(got)
    ties = {t.of: t for t in _following(world, whose) if (t.of, whose) in world.follows}
    return _follows(ties, got.query)


def counts(world: World, got: Received[None, None]) -> Counts:
    """How many follow someone, and how many they follow."""
    whose = _whose(got)
    followers = sum(tie.of == whose for tie in world.follows.values())
    return Counts(followers=followers, following=len(_following(world, whose)))


def relation(world: World, got: Received[None, None]) -> Relation:
    """What is between the caller and someone else."""
    other = got.id("user_id")
    return Relation(
        following=(got.caller, other) in world.follows,
        followed_by=(other, got.caller) in world.follows,
        blocked=(got.caller, other) in world.blocks,
    )


def blocks(world: World, got: Received[None, PageQuery]) -> Page[Block]:
    """Those whom the caller blocks, latest first."""
    ties = [tie for tie in world.blocks.values() if tie.by == got.caller]
    found = page(ties, got.query, _id, newest_first=True)
    items = [Block(user_id=tie.of, blocked_at=tie.since) for tie in found.items]
    return Page[Block](items=items, next_cursor=found.next_cursor)


def recommendations(world: World, got: Received[None, RecommendationsQuery]) -> Recommendations:
    """Friends of friends, those with most friends in common first."""
    common = Counter(
        theirs.of
        for mine in _following(world, got.caller)
        for theirs in _following(world, mine.of)
        if theirs.of != got.caller
        and (got.caller, theirs.of) not in world.follows
        and not world.blocked(got.caller, [theirs.of])
    )
    best = sorted(common, key=lambda user_id: (-common[user_id], user_id))
    items = [Recommendation(user_id=user_id, common=common[user_id]) for user_id in best]
    return Recommendations(items=items[: got.query.limit])


def feed(world: World, got: Received[None, PageQuery]) -> FeedPage:
    """Posts of those whom the caller follows, newest first."""
    followed = {tie.of for tie in _following(world, got.caller)}
    posts = [post for post in world.posts.values() if post.author_id in followed]
    return FeedPage.model_validate(listed(world, posts, got.query).model_dump())


def _whose(got: Received[object, object]) -> UUID:
    return got.id("user_id") if "user_id" in got.path else got.caller


def _tie(world: World, ties: dict[tuple[UUID, UUID], Tie], by: UUID, of: UUID) -> None:
    ties[by, of] = Tie(world.new_id(), by, of, world.now())


def _following(world: World, user_id: UUID) -> list[Tie]:
    return [tie for tie in world.follows.values() if tie.by == user_id]


def _follows(ties: Mapping[UUID, Tie], query: PageQuery) -> Page[Follow]:
    """A page of follows, by who is at the other side."""
    others = {tie.id: user_id for user_id, tie in ties.items()}
    found = page(ties.values(), query, _id, newest_first=True)
    items = [Follow(user_id=others[tie.id], followed_at=tie.since) for tie in found.items]
    return Page[Follow](items=items, next_cursor=found.next_cursor)


def _id(tie: Tie) -> str:
    return str(tie.id)


_SOCIAL = "/api/v1/social"
_USER = f"{_SOCIAL}/users/{{user_id}}"

ENDPOINTS = (
    Endpoint("PUT", f"{_SOCIAL}/following/{{user_id}}", follow),
    Endpoint("DELETE", f"{_SOCIAL}/following/{{user_id}}", unfollow),
    Endpoint("GET", f"{_SOCIAL}/following", following, query=PageQuery),
    Endpoint("GET", f"{_SOCIAL}/followers", followers, query=PageQuery),
    Endpoint("GET", f"{_SOCIAL}/mutuals", mutuals, query=PageQuery),
    Endpoint("GET", f"{_USER}/following", following, query=PageQuery),
    Endpoint("GET", f"{_USER}/followers", followers, query=PageQuery),
    Endpoint("GET", f"{_USER}/mutuals", mutuals, query=PageQuery),
    Endpoint("GET", f"{_USER}/counts", counts),
    Endpoint("GET", f"{_USER}/relation", relation),
    Endpoint("PUT", f"{_SOCIAL}/blocks/{{user_id}}", block),
    Endpoint("DELETE", f"{_SOCIAL}/blocks/{{user_id}}", unblock),
    Endpoint("GET", f"{_SOCIAL}/blocks", blocks, query=PageQuery),
    Endpoint("GET", f"{_SOCIAL}/recommendations", recommendations, query=RecommendationsQuery),
    Endpoint("GET", "/api/v1/feed", feed, query=PageQuery),
)
