"""A story of three people that touches every feature, to be read from top to bottom.

Each chapter is a test of its own; what a chapter needs it arranges itself.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import pytest

from pulse_sdk import errors
from pulse_sdk.contract.events import EditEvent
from pulse_sdk.contract.messaging import MessageFrame
from pulse_sdk.contract.notifications import Notification
from tests.e2e.conftest import EVENTUALLY_SECONDS, PASSWORD, Join, Person, eventually


class Three(NamedTuple):
    """Ada organises, Ben follows along, Cleo keeps to herself."""

    ada: Person
    ben: Person
    cleo: Person


@pytest.fixture
async def three(join: Join) -> Three:
    """Three new people."""
    return Three(*[await join(name) for name in ("ada", "ben", "cleo")])


async def _told(person: Person, kind: str) -> Notification:
    async def of_kind() -> list[Notification]:
        page = await person.pulse.notifications.list(limit=100).page()
        return [n for n in page.items if n.kind == kind]

    return (await eventually(of_kind, lambda found: len(found) == 1))[0]


async def test_accounts_and_profiles(three: Three) -> None:
    ada, ben, _ = three
    me = await ada.pulse.users.me()

    # Ada tells of herself, and means the profile she has read.
    changed = await ada.pulse.users.update_me(bio="Writes letters", version=me.version)
    assert changed.version == me.version + 1
    with pytest.raises(errors.AnswerError) as stale:
        await ada.pulse.users.update_me(bio="From an old page", version=me.version)
    assert stale.value.status == 412

    # Ben finds her by the beginning of her name.
    found = await ben.pulse.users.search(ada.user.username[:12]).page()
    assert ada.user.id in {user.id for user in found.items}

    # She logs in elsewhere, sees both sessions, and a new password leaves only this one.
    await ada.pulse.auth.login(ada.user.username, PASSWORD)
    assert len((await ada.pulse.auth.sessions().page()).items) == 2
    await ada.pulse.auth.change_password(PASSWORD, "a better horse battery")
    assert len((await ada.pulse.auth.sessions().page()).items) == 1


async def test_following_and_being_left_alone(three: Three) -> None:
    ada, ben, cleo = three
    await ben.pulse.social.follow(ada.user.id)
    await ada.pulse.social.follow(ben.user.id)
    await cleo.pulse.social.follow(ben.user.id)

    relation = await ben.pulse.social.relation(ada.user.id)
    assert (relation.following, relation.followed_by, relation.blocked) == (True, True, False)
    counts = await ada.pulse.social.counts(ben.user.id)
    assert (counts.followers, counts.following) == (2, 1)
    mutual = [follow.user_id async for follow in ada.pulse.social.mutuals()]
    assert mutual == [ben.user.id]
    # Cleo follows Ben, Ben follows Ada: perhaps Cleo wants to follow Ada.
    advice = (await cleo.pulse.social.recommendations()).items
    assert [(one.user_id, one.common) for one in advice] == [(ada.user.id, 1)]

    # Ada blocks Ben: both follows end, and Ben cannot come back.
    await ada.pulse.social.block(ben.user.id)
    assert (await ada.pulse.social.counts(ben.user.id)).followers == 1
    with pytest.raises(errors.Forbidden) as refused:
        await ben.pulse.social.follow(ada.user.id)
    assert refused.value.code == "blocked"
    await ada.pulse.social.unblock(ben.user.id)
    await ben.pulse.social.follow(ada.user.id)


async def test_posts_threads_and_privacy(three: Three) -> None:
    ada, ben, cleo = three
    await ben.pulse.social.follow(ada.user.id)

    post = await ada.pulse.posts.create("The first leter", idempotency_key="ada-1")
    again = await ada.pulse.posts.create("The first leter", idempotency_key="ada-1")
    assert again.id == post.id
    edited = await ada.pulse.posts.edit(post.id, "The first letter", version=post.version)
    assert edited.edited_at is not None

    await ben.pulse.posts.like(post.id)
    assert (await ben.pulse.posts.liked(post.id)).liked
    comment = await ben.pulse.posts.comment(post.id, "To whom?")
    reply = await ada.pulse.posts.comment(post.id, "To you", parent_id=comment.id)
    (only,) = (await cleo.pulse.posts.replies(post.id, comment.id).page()).items
    assert (only.id, only.depth) == (reply.id, 1)
    read = await cleo.pulse.posts.get(post.id)
    assert (read.like_count, read.comment_count) == (1, 2)
    assert (await _told(ada, "like")).actor_id == ben.user.id
    assert (await _told(ben, "reply")).subject["comment_id"] == str(reply.id)

    # Ada draws the curtains: her follower Ben still sees the post, Cleo does not.
    await ada.pulse.users.update_me(visibility="private")

    async def cleo_sees_it() -> bool:
        try:
            await cleo.pulse.posts.get(post.id)
        except errors.NotFound:
            return False
        return True

    await eventually(cleo_sees_it, lambda seen: not seen)
    assert (await ben.pulse.posts.get(post.id)).text == "The first letter"
    feed = await eventually(lambda: ben.pulse.feed.list().page(), lambda page: len(page.items) == 1)
    assert not feed.degraded


async def test_conversations(three: Three) -> None:
    ada, ben, cleo = three
    group = await ada.pulse.conversations.open([ben.user.id], title="Picnic")
    await ada.pulse.conversations.add_member(group.id, cleo.user.id)

    async with cleo.pulse.realtime.messages() as frames:
        sent = await ben.pulse.conversations.send(group.id, "I bring bread")
        async with asyncio.timeout(EVENTUALLY_SECONDS):
            frame = await anext(frame async for frame in frames if isinstance(frame, MessageFrame))
    assert frame.data.text == "I bring bread"

    assert (await ada.pulse.conversations.unread()).unread == 1
    await ada.pulse.conversations.mark_read(group.id, sent.id)
    assert (await ada.pulse.conversations.unread()).unread == 0

    await ada.pulse.conversations.remove_member(group.id, ben.user.id)
    with pytest.raises(errors.NotFound):
        await ben.pulse.conversations.send(group.id, "Hello?")

    # Whom Ada blocks cannot write to her.
    private = await ben.pulse.conversations.open([ada.user.id])
    await ada.pulse.social.block(ben.user.id)

    async def refused() -> bool:
        try:
            await ben.pulse.conversations.send(private.id, "Why?")
        except errors.Forbidden:
            return True
        return False

    await eventually(refused, bool)


async def test_an_event_with_one_place(three: Three) -> None:
    ada, ben, cleo = three
    await ben.pulse.social.follow(ada.user.id)
    event = await ada.pulse.events.create(
        "Rowing",
        starts_at=datetime.now(UTC) + timedelta(days=3),
        location="Boat house",
        capacity=1,
    )
    assert (await _told(ben, "event")).subject["event_id"] == str(event.id)

    assert (await ben.pulse.events.rsvp(event.id, "yes")).answer == "yes"
    assert (await cleo.pulse.events.rsvp(event.id, "yes")).answer == "waiting"
    assert [one.user_id async for one in ada.pulse.events.attendees(event.id)] == [ben.user.id]

    # Ben cannot come after all; Cleo moves up and is told.
    await ben.pulse.events.rsvp(event.id, "no")
    await _told(cleo, "promoted")
    assert (await cleo.pulse.events.own_rsvp(event.id)).answer == "yes"

    later = EditEvent(starts_at=datetime.now(UTC) + timedelta(days=4))
    await ada.pulse.events.edit(event.id, later, version=event.version)
    await _told(cleo, "event_updated")
    found = await cleo.pulse.events.list(text="rowing", place="boat").page()
    assert event.id in {one.id for one in found.items}

    await ada.pulse.events.cancel(event.id)
    await _told(cleo, "event_cancelled")
    with pytest.raises(errors.Conflict) as refused:
        await ben.pulse.events.rsvp(event.id, "yes")
    assert refused.value.code == "event_cancelled"


async def test_notifications_as_one_wants_them(three: Three) -> None:
    ada, ben, cleo = three
    await _told(ada, "welcome")
    await ada.pulse.notifications.prefer("follower", in_app=False, push=False)
    await ada.pulse.notifications.set_quiet_hours(time(22), time(7), "Europe/Berlin")
    preferences = await ada.pulse.notifications.preferences()
    assert preferences.quiet_hours is not None
    assert preferences.quiet_hours.time_zone == "Europe/Berlin"

    await ben.pulse.social.follow(ada.user.id)
    post = await ada.pulse.posts.create("Quiet here")
    await cleo.pulse.posts.like(post.id)

    like = await _told(ada, "like")
    kinds = {n.kind async for n in ada.pulse.notifications.list()}
    assert kinds == {"welcome", "like"}
    await ada.pulse.notifications.mark_all_read()
    assert (await ada.pulse.notifications.unread()).unread == 0
    await ada.pulse.notifications.delete(like.id)
    assert {n.kind async for n in ada.pulse.notifications.list()} == {"welcome"}
