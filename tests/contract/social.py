"""Follows, blocks, recommendations and the feed."""

from __future__ import annotations

from tests.contract.cast import NOTHING, Cast, refused


async def following_is_seen_from_both_sides(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    await ada.pulse.social.follow(ben.user.id)
    await ada.pulse.social.follow(ben.user.id)
    await ada.pulse.social.follow(cleo.user.id)
    await ben.pulse.social.follow(ada.user.id)
    await ada.pulse.social.following().page()
    first = await ada.pulse.social.following(limit=1).page()
    await ada.pulse.social.following(limit=1, cursor=first.next_cursor).page()
    await ada.pulse.social.followers().page()
    await ada.pulse.social.mutuals().page()
    await cleo.pulse.social.following(ada.user.id).page()
    await cleo.pulse.social.followers(ada.user.id).page()
    await cleo.pulse.social.mutuals(ada.user.id).page()
    await cleo.pulse.social.counts(ada.user.id)
    await ada.pulse.social.relation(ben.user.id)
    await ada.pulse.social.unfollow(ben.user.id)
    await ada.pulse.social.unfollow(ben.user.id)
    await ada.pulse.social.relation(ben.user.id)
    await ada.pulse.social.counts(NOTHING)
    await ada.pulse.social.follow(NOTHING)
    await refused(ada.pulse.social.follow(ada.user.id))
    await refused(ada.pulse.social.follow("nobody"))


async def a_block_ends_follows_and_forbids_them(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    await ada.pulse.social.follow(ben.user.id)
    await ben.pulse.social.follow(ada.user.id)
    await ada.pulse.social.block(ben.user.id)
    await ada.pulse.social.block(ben.user.id)
    await ada.pulse.social.relation(ben.user.id)
    await ben.pulse.social.relation(ada.user.id)
    await refused(ben.pulse.social.follow(ada.user.id))
    await refused(ada.pulse.social.follow(ben.user.id))
    await refused(ada.pulse.social.block(ada.user.id))
    await ada.pulse.social.blocks().page()
    await ben.pulse.social.blocks().page()
    await ada.pulse.social.unblock(ben.user.id)
    await ada.pulse.social.unblock(ben.user.id)
    await ada.pulse.social.relation(ben.user.id)
    await ben.pulse.social.follow(ada.user.id)


async def friends_of_friends_are_recommended(cast: Cast) -> None:
    ada, ben, cleo, dora, emil = await cast.join("ada", "ben", "cleo", "dora", "emil")
    for friend in (ben, cleo):
        await ada.pulse.social.follow(friend.user.id)
        await friend.pulse.social.follow(dora.user.id)
        await friend.pulse.social.follow(ada.user.id)
    await cleo.pulse.social.follow(emil.user.id)
    await ada.pulse.social.recommendations()
    await dora.pulse.social.recommendations(limit=5)


async def the_feed_has_the_posts_of_those_one_follows(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    await ben.pulse.posts.create("Before")
    await ada.pulse.social.follow(ben.user.id)
    await ada.pulse.social.follow(cleo.user.id)
    await ada.pulse.posts.create("My own")
    posts = [await person.pulse.posts.create(text) for person, text in ((cleo, "1"), (ben, "2"))]

    async def feed() -> int:
        return len((await ada.pulse.feed.list().page()).items)

    await cast.until(feed, lambda posts: posts == 3)
    first = await ada.pulse.feed.list(limit=2).page()
    await ada.pulse.feed.list(limit=2, cursor=first.next_cursor).page()
    await cleo.pulse.posts.delete(posts[0].id)
    await cast.until(feed, lambda posts: posts == 2)
    await ada.pulse.social.unfollow(ben.user.id)
    await cast.until(feed, lambda posts: posts == 0)
    await refused(ada.pulse.feed.list(cursor="nonsense").page())


BEHAVIOURS = (
    following_is_seen_from_both_sides,
    a_block_ends_follows_and_forbids_them,
    friends_of_friends_are_recommended,
    the_feed_has_the_posts_of_those_one_follows,
)
