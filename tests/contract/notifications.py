"""Notifications, what is wanted of them, and devices."""

from __future__ import annotations

import base64
from datetime import time

from pulse_sdk.contract.notifications import Notification
from tests.contract.cast import NOTHING, Cast, Person, refused

# A point of the curve that subscriptions use: its generator, which is in the standard.
_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_P256DH = base64.urlsafe_b64encode(_POINT).decode().rstrip("=")
_AUTH = base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")


async def what_happens_to_a_person_is_told(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    post = await ada.pulse.posts.create("Tell me")
    await ada.pulse.posts.like(post.id)
    for happen, expected in (
        (ben.pulse.social.follow(ada.user.id), 2),
        (ben.pulse.posts.like(post.id), 3),
        (ben.pulse.posts.comment(post.id, "I do"), 4),
    ):
        await happen
        await told(cast, ada, expected)
    comment = await ada.pulse.posts.comment(post.id, "Nobody is told")
    await ben.pulse.posts.comment(post.id, "You are", parent_id=comment.id)
    await told(cast, ada, 5)
    talk = await ben.pulse.conversations.open([ada.user.id])
    await ben.pulse.conversations.send(talk.id, "Hello")
    await told(cast, ada, 6)
    first = await ada.pulse.notifications.list(limit=4).page()
    await ada.pulse.notifications.list(limit=4, cursor=first.next_cursor).page()
    await ada.pulse.notifications.unread()
    await ada.pulse.notifications.mark_read(first.items[0].id)
    await ada.pulse.notifications.list(unread=True).page()
    await ada.pulse.notifications.delete(first.items[1].id)
    await refused(ada.pulse.notifications.delete(first.items[1].id))
    await refused(ada.pulse.notifications.mark_read(first.items[1].id))
    await refused(ben.pulse.notifications.mark_read(first.items[0].id))
    await refused(ada.pulse.notifications.delete(NOTHING))
    await ada.pulse.notifications.mark_all_read()
    await ada.pulse.notifications.unread()
    await refused(ada.pulse.notifications.list(cursor="nonsense").page())


async def what_is_not_wanted_is_not_told(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    await ada.pulse.notifications.preferences()
    await ada.pulse.notifications.prefer("follower", in_app=False, push=True)
    await ada.pulse.notifications.preferences()
    await ben.pulse.social.follow(ada.user.id)
    post = await ada.pulse.posts.create("Tell me")
    await ben.pulse.posts.like(post.id)
    await told(cast, ada, 2)
    await ada.pulse.notifications.unread()
    await ada.http.put("/api/v1/notifications/preferences/nonsense", json={})
    wanted = {"in_app": True, "push": True}
    await ada.http.put("/api/v1/notifications/preferences/nonsense", json=wanted)


async def quiet_hours_are_kept_until_they_end(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    prefer = ada.pulse.notifications
    await prefer.set_quiet_hours(time(22), time(7, 30), "Europe/Berlin")
    await refused(prefer.set_quiet_hours(time(22), time(7), "Europe/Atlantis"))
    same = {"starts_at": "07:00:00", "ends_at": "07:00:00", "time_zone": "UTC"}
    await ada.http.put("/api/v1/notifications/quiet-hours", json=same)
    await prefer.preferences()
    await prefer.end_quiet_hours()
    await prefer.preferences()


async def a_device_belongs_to_who_registered_it_last(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    endpoint = f"https://push.example/{cast.suffix}"
    await ada.pulse.notifications.push_key()
    for person in (ada, ada, ben):
        await person.pulse.notifications.register_device(endpoint, p256dh=_P256DH, auth=_AUTH)
    await ada.pulse.notifications.devices()
    found = await ben.pulse.notifications.devices()
    for wrong in ("nonsense", "ftp://push.example/1", "https://user@push.example/"):
        register = ada.pulse.notifications.register_device
        await refused(register(wrong, p256dh=_P256DH, auth=_AUTH))
    await refused(
        ada.pulse.notifications.register_device(f"{endpoint}/2", p256dh="AAAA", auth=_AUTH)
    )
    await refused(
        ada.pulse.notifications.register_device(f"{endpoint}/2", p256dh=_P256DH, auth="AAAA")
    )
    await refused(ada.pulse.notifications.remove_device(found.items[0].id))
    await ben.pulse.notifications.remove_device(found.items[0].id)
    await refused(ben.pulse.notifications.remove_device(found.items[0].id))


async def a_person_has_so_many_devices(cast: Cast) -> None:
    [ada] = await cast.join("ada")

    async def register(number: int) -> None:
        endpoint = f"https://push.example/{cast.suffix}/{number}"
        await ada.pulse.notifications.register_device(endpoint, p256dh=_P256DH, auth=_AUTH)

    for number in range(20):
        await register(number)
    await refused(register(20))
    await register(19)


async def told(cast: Cast, person: Person, times: int) -> list[Notification]:
    """Somebody's notifications, once there are so many."""

    async def ask() -> list[Notification]:
        return (await person.pulse.notifications.list().page()).items

    return await cast.until(ask, lambda found: len(found) >= times)


BEHAVIOURS = (
    what_happens_to_a_person_is_told,
    what_is_not_wanted_is_not_told,
    quiet_hours_are_kept_until_they_end,
    a_device_belongs_to_who_registered_it_last,
    a_person_has_so_many_devices,
)
