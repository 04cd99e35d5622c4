"""The platform's flows from end to end, over the gateway, as its users see them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from pulse_sdk import errors
from pulse_sdk.contract.notifications import Notification
from tests.e2e.conftest import EVENTUALLY_SECONDS, PASSWORD, Join, Person, eventually


async def _notifications(person: Person) -> list[Notification]:
    return (await person.pulse.notifications.list().page()).items


async def test_who_registers_is_welcomed(join: Join) -> None:
    ada = await join("ada")

    (welcome,) = await eventually(lambda: _notifications(ada), lambda found: len(found) == 1)

    assert welcome.kind == "welcome"
    assert (await ada.pulse.notifications.unread()).unread == 1
    await ada.pulse.notifications.mark_read(welcome.id)
    assert (await ada.pulse.notifications.unread()).unread == 0


async def test_a_post_reaches_the_feeds_of_followers(join: Join) -> None:
    author, reader, stranger = await join("author"), await join("reader"), await join("stranger")
    await reader.pulse.social.follow(author.user.id)

    post = await author.pulse.posts.create("Hello, followers")

    async def feed() -> list[str]:
        return [item.text for item in (await reader.pulse.feed.list().page()).items]

    await eventually(feed, lambda texts: texts == ["Hello, followers"])
    assert (await stranger.pulse.feed.list().page()).items == []

    await author.pulse.posts.delete(post.id)
    await eventually(feed, lambda texts: texts == [])


async def test_unfollowing_empties_the_feed(join: Join) -> None:
    author, reader = await join("author"), await join("reader")
    await reader.pulse.social.follow(author.user.id)
    await author.pulse.posts.create("Only for a while")
    await eventually(lambda: reader.pulse.feed.list().page(), lambda page: len(page.items) == 1)

    await reader.pulse.social.unfollow(author.user.id)

    await eventually(lambda: reader.pulse.feed.list().page(), lambda page: page.items == [])


async def test_the_feed_pages_without_gaps_or_repeats(join: Join) -> None:
    author, reader = await join("author"), await join("reader")
    await reader.pulse.social.follow(author.user.id)
    written = [(await author.pulse.posts.create(f"Post {i}")).id for i in range(25)]
    await eventually(
        lambda: reader.pulse.feed.list(limit=50).page(), lambda page: len(page.items) == 25
    )

    read = [post.id async for post in reader.pulse.feed.list(limit=7)]

    assert read == written[::-1]


async def test_a_message_is_delivered_live_and_notified(join: Join) -> None:
    ada, ben = await join("ada"), await join("ben")
    conversation = await ada.pulse.conversations.open([ben.user.id])
    again = await ben.pulse.conversations.open([ada.user.id])
    assert again.id == conversation.id

    async with ben.pulse.realtime.messages() as frames:
        sent = await ada.pulse.conversations.send(conversation.id, "Are you there?")
        frame = await asyncio.wait_for(anext(aiter(frames)), EVENTUALLY_SECONDS)

    assert frame.data == sent
    page = await ben.pulse.conversations.messages(conversation.id).page()
    assert page.items == [sent]
    kinds = await eventually(
        lambda: _notifications(ben), lambda found: "message" in {n.kind for n in found}
    )
    message = next(n for n in kinds if n.kind == "message")
    assert message.actor_id == ada.user.id
    assert message.subject["conversation_id"] == str(conversation.id)


async def test_an_event_is_announced_to_followers(join: Join) -> None:
    host, guest = await join("host"), await join("guest")
    await guest.pulse.social.follow(host.user.id)

    event = await host.pulse.events.create(
        "Picnic", starts_at=datetime.now(UTC) + timedelta(days=2), location="By the river"
    )

    announced = await eventually(
        lambda: _notifications(guest), lambda found: "event" in {n.kind for n in found}
    )
    assert next(n for n in announced if n.kind == "event").subject["event_id"] == str(event.id)
    await guest.pulse.events.rsvp(event.id, "yes")
    assert (await guest.pulse.events.get(event.id)).attending == 1
    await eventually(lambda: _notifications(host), lambda found: "rsvp" in {n.kind for n in found})


async def test_likes_comments_and_follows_are_notified(join: Join) -> None:
    author, fan = await join("author"), await join("fan")
    post = await author.pulse.posts.create("Like me")

    await fan.pulse.social.follow(author.user.id)
    await fan.pulse.posts.like(post.id)
    await fan.pulse.posts.like(post.id)
    await fan.pulse.posts.comment(post.id, "I do")

    found = await eventually(
        lambda: _notifications(author),
        lambda found: {n.kind for n in found} >= {"welcome", "follower", "like", "comment"},
    )
    assert sorted(n.kind for n in found) == ["comment", "follower", "like", "welcome"]
    liked = await author.pulse.posts.get(post.id)
    assert (liked.like_count, liked.comment_count) == (1, 1)


async def test_a_session_can_be_refreshed_and_ended(join: Join) -> None:
    ada = await join("ada")
    await ada.pulse.auth.login(ada.user.username.upper(), PASSWORD)
    session = await ada.pulse.auth.session()
    assert session.expires_at > datetime.now(UTC) + timedelta(days=1)

    await ada.pulse.auth.logout()

    with pytest.raises(errors.NotAuthenticated):
        await ada.pulse.users.me()


async def test_a_wrong_password_is_refused_like_an_unknown_user(join: Join) -> None:
    ada = await join("ada")
    codes = []
    for login in (ada.user.username, f"nobody_{uuid4().hex[:12]}"):
        with pytest.raises(errors.NotAuthenticated) as refused:
            await ada.pulse.auth.login(login, "wrong password")
        codes.append(refused.value.code)

    assert codes == ["credentials_wrong", "credentials_wrong"]


async def test_names_are_taken_whatever_their_case(join: Join) -> None:
    ada = await join("ada")

    with pytest.raises(errors.Conflict) as refused:
        await ada.pulse.auth.register(
            email="Another@People.example",
            username=ada.user.username.upper(),
            password=PASSWORD,
            display_name="Not Ada",
        )

    assert refused.value.code == "username_taken"


async def test_a_profile_change_is_seen_at_once(join: Join) -> None:
    ada, ben = await join("ada"), await join("ben")
    assert (await ben.pulse.users.get(ada.user.id)).bio == ""

    await ada.pulse.users.update_me(bio="Countess")

    assert (await ben.pulse.users.get(ada.user.id)).bio == "Countess"
