"""Notifications of the fake, what people want of them, and devices."""

from __future__ import annotations

import base64
from typing import get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pulse_sdk.contract.common import Page
from pulse_sdk.contract.notifications import (
    Device,
    Devices,
    Notification,
    NotificationKind,
    NotificationsQuery,
    Preference,
    Preferences,
    PushKey,
    QuietHours,
    RegisterDevice,
    SetPreference,
    SetQuietHours,
    UnreadCount,
)
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._world import World

_KINDS: tuple[NotificationKind, ...] = get_args(NotificationKind)
_MOST_DEVICES = 20
_PUSH_KEY = base64.urlsafe_b64encode(b"\x04" + bytes(range(64))).decode().rstrip("=")
_POINT_BYTES = 65
_SECRET_BYTES = 16


def notifications(world: World, got: Received[None, NotificationsQuery]) -> Page[Notification]:
    """The caller's notifications, newest first."""
    found = world.notifications[got.caller].values()
    wanted = [one for one in found if not (got.query.unread and one.read)]
    return page(wanted, got.query, lambda one: str(one.id), newest_first=True)


def unread(world: World, got: Received[None, None]) -> UnreadCount:
    """How many are unread."""
    found = world.notifications[got.caller].values()
    return UnreadCount(unread=sum(not one.read for one in found))


def read(world: World, got: Received[None, None]) -> None:
    """Mark one as read."""
    one = _own(world, got)
    world.notifications[got.caller][one.id] = one.model_copy(update={"read": True})


def read_all(world: World, got: Received[None, None]) -> None:
    """Mark all as read."""
    mine = world.notifications[got.caller]
    for one in mine.values():
        mine[one.id] = one.model_copy(update={"read": True})


def delete(world: World, got: Received[None, None]) -> None:
    """Delete one."""
    del world.notifications[got.caller][_own(world, got).id]


def preferences(world: World, got: Received[None, None]) -> Preferences:
    """Which notifications the caller wants."""
    wishes = world.wishes[got.caller]
    everything = {kind: Preference(kind=kind, in_app=True, push=True) for kind in _KINDS}
    kinds = list({**everything, **wishes.kinds}.values())
    return Preferences(kinds=kinds, quiet_hours=wishes.quiet_hours)


def prefer(world: World, got: Received[SetPreference, None]) -> Preference:
    """Say through which channels a kind is wanted."""
    kind = next((known for known in _KINDS if known == got.path["kind"]), None)
    if kind is None:
        raise Refusal.not_found("kind")
    wanted = Preference(kind=kind, in_app=got.body.in_app, push=got.body.push)
    world.wishes[got.caller].kinds[kind] = wanted
    return wanted


def be_quiet(world: World, got: Received[SetQuietHours, None]) -> QuietHours:
    """Say when nothing is to be pushed."""
    try:
        ZoneInfo(got.body.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise Refusal.of_field("time_zone", "is not a time zone that is known here") from None
    hours = QuietHours.model_validate(got.body.model_dump())
    world.wishes[got.caller].quiet_hours = hours
    return hours


def never_be_quiet(world: World, got: Received[None, None]) -> None:
    """Have things pushed at any time again."""
    world.wishes[got.caller].quiet_hours = None


def push_key(world: World, got: Received[None, None]) -> PushKey:
    """The key that browsers subscribe with."""
    return PushKey(key=_PUSH_KEY)


def register_device(world: World, got: Received[RegisterDevice, None]) -> Device:
    """Have notifications pushed to a device, which belongs to who registered it last."""
    endpoint = got.body.endpoint
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise Refusal.of_field("endpoint", "must be the address of a push service")
    if parts.scheme == "http":
        raise Refusal.of_field("endpoint", "must begin with https://")
    keys = got.body.keys
    lengths = _bytes(keys.p256dh), _bytes(keys.auth.get_secret_value())
    if lengths != (_POINT_BYTES, _SECRET_BYTES):
        raise Refusal.of_field("keys", "are not the keys of a push subscription")
    mine = world.devices[got.caller]
    if endpoint not in mine:
        if len(mine) >= _MOST_DEVICES:
            detail = f"There are {_MOST_DEVICES} devices already; delete one of them."
            raise Refusal.conflict("too_many_devices", detail)
        for devices in world.devices.values():
            devices.pop(endpoint, None)
        origin = f"{parts.scheme}://{parts.netloc}"
        mine[endpoint] = Device(id=world.new_id(), origin=origin, created_at=world.now())
    return mine[endpoint]


def devices(world: World, got: Received[None, None]) -> Devices:
    """The caller's devices, latest first."""
    mine = world.devices[got.caller].values()
    return Devices(items=sorted(mine, key=lambda device: device.id, reverse=True))


def remove_device(world: World, got: Received[None, None]) -> None:
    """Have nothing pushed to a device any more."""
    device_id = got.id("device_id")
    mine = world.devices[got.caller]
    endpoint = next((e for e, device in mine.items() if device.id == device_id), None)
    if endpoint is None:
        raise Refusal.not_found("device")
    del mine[endpoint]


def _own(world: World, got: Received[None, None]) -> Notification:
    one = world.notifications[got.caller].get(got.id("notification_id"))
    if one is None:
        raise Refusal.not_found("notification")
    return one


def _bytes(text: str) -> int:
    """How many bytes base64url text stands for; 0 when it is none."""
    plain = text.rstrip("=")
    try:
        return len(base64.b64decode(plain + "=" * (-len(plain) % 4), b"-_", validate=True))
    except ValueError:
        return 0


_NOTIFICATIONS = "/api/v1/notifications"
_ONE = f"{_NOTIFICATIONS}/{{notification_id}}"
_PREFERENCES = f"{_NOTIFICATIONS}/preferences"
_QUIET_HOURS = f"{_NOTIFICATIONS}/quiet-hours"
_DEVICES = f"{_NOTIFICATIONS}/devices"

ENDPOINTS = (
    Endpoint("GET", _NOTIFICATIONS, notifications, query=NotificationsQuery),
    Endpoint("GET", f"{_NOTIFICATIONS}/unread", unread),
    Endpoint("PUT", f"{_NOTIFICATIONS}/read", read_all),
    Endpoint("GET", _PREFERENCES, preferences),
    Endpoint("PUT", f"{_PREFERENCES}/{{kind}}", prefer, body=SetPreference),
    Endpoint("PUT", _QUIET_HOURS, be_quiet, body=SetQuietHours),
    Endpoint("DELETE", _QUIET_HOURS, never_be_quiet),
    Endpoint("GET", f"{_NOTIFICATIONS}/push-key", push_key),
    Endpoint("PUT", _DEVICES, register_device, body=RegisterDevice),
    Endpoint("GET", _DEVICES, devices),
    Endpoint("DELETE", f"{_DEVICES}/{{device_id}}", remove_device),
    Endpoint("PUT", f"{_ONE}/read", read),
    Endpoint("DELETE", _ONE, delete),
)
