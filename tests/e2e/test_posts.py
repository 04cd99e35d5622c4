"""Posts, threads and privacy from end to end, as the client has them."""

from __future__ import annotations

import pytest

from pulse_sdk import errors
from pulse_sdk.contract.posts import Post, PostAuthor
from tests.e2e.conftest import Join, Person, eventually


async def test_a_post_is_edited_discussed_and_liked(join: Join) -> None:
    ada, ben = await join("ada"), await join("ben")
    post = await ada.pulse.posts.create("Hello")
    named = await eventually(lambda: ben.pulse.posts.get(post.id), lambda p: p.author is not None)
    assert named.author == PostAuthor(username=ada.user.username, display_name="Ada")

    edited = await ada.pulse.posts.edit(post.id, "Hello again", version=post.version)
    assert (edited.text, edited.version) == ("Hello again", 2)
    with pytest.raises(errors.Conflict) as stale:
        await ada.pulse.posts.edit(post.id, "Too late", version=post.version)
    assert (stale.value.status, stale.value.code) == (412, "stale")

    comment = await ben.pulse.posts.comment(post.id, "Hello yourself")
    reply = await ada.pulse.posts.comment(post.id, "Thanks", parent_id=comment.id)
    assert [c.reply_count async for c in ada.pulse.posts.comments(post.id)] == [1]
    assert [c.id async for c in ben.pulse.posts.replies(post.id, comment.id)] == [reply.id]
    await ada.pulse.posts.delete_comment(post.id, comment.id)
    assert (await ada.pulse.posts.get(post.id)).comment_count == 0

    await ben.pulse.posts.like(post.id)
    assert (await ben.pulse.posts.liked(post.id)).liked
    assert [like.user_id async for like in ada.pulse.posts.likes(post.id)] == [ben.user.id]
    assert all(isinstance(found, Post) for found in (await ben.pulse.posts.popular().page()).items)


async def test_a_private_profile_hides_its_posts_from_all_but_followers(join: Join) -> None:
    ada, ben, eve = await join("ada"), await join("ben"), await join("eve")
    await ben.pulse.social.follow(ada.user.id)
    post = await ada.pulse.posts.create("For friends")
    await eventually(lambda: _feed(ben), lambda texts: texts == ["For friends"])

    await ada.pulse.users.update_me(visibility="private")

    await eventually(lambda: _sees(eve, post), lambda sees: not sees)
    assert await _sees(ben, post)
    assert await _feed(ben) == ["For friends"]
    await ben.pulse.social.unfollow(ada.user.id)
    assert not await _sees(ben, post)
    assert await _feed(ben) == []


async def _feed(reader: Person) -> list[str]:
    return [post.text for post in (await reader.pulse.feed.list().page()).items]


async def _sees(reader: Person, post: Post) -> bool:
    try:
        await reader.pulse.posts.get(post.id)
    except errors.NotFound:
        return False
    return True
