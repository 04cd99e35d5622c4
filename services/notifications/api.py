"""HTTP endpoints of the notifications service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page
from pulse_sdk.contract.notifications import (
    Device,
    Devices,
    Notification,
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
from services.kit.http import Call, endpoint
from services.notifications.push import DevicesService
from services.notifications.service import NotificationsService

DEVICES = web.AppKey("devices", DevicesService)
SERVICE = web.AppKey("service", NotificationsService)


async def notifications(call: Call[None, NotificationsQuery]) -> Page[Notification]:
    """The caller's notifications, newest first."""
    return await call.app[SERVICE].notifications(call.user, call.query)


async def unread(call: Call[None, None]) -> UnreadCount:
    """How many of the caller's notifications are unread."""
    return await call.app[SERVICE].unread(call.user)


async def read(call: Call[None, None]) -> None:
    """Mark a notification as read."""
    await call.app[SERVICE].read(call.user, call.id("notification_id"))


async def read_all(call: Call[None, None]) -> None:
    """Mark all of the caller's notifications as read."""
    await call.app[SERVICE].read_all(call.user)


async def delete(call: Call[None, None]) -> None:
    """Delete a notification."""
    await call.app[SERVICE].delete(call.user, call.id("notification_id"))


async def preferences(call: Call[None, None]) -> Preferences:
    """Which notifications the caller wants, and when."""
    return await call.app[SERVICE].preferences(call.user)


async def prefer(call: Call[SetPreference, None]) -> Preference:
    """Say through which channels notifications of a kind are wanted."""
    kind = call.request.match_info["kind"]
    return await call.app[SERVICE].prefer(call.user, kind, call.body)


async def be_quiet(call: Call[SetQuietHours, None]) -> QuietHours:
    """Say when nothing is to be pushed."""
    return await call.app[SERVICE].be_quiet(call.user, call.body)


async def never_be_quiet(call: Call[None, None]) -> None:
    """Have things pushed at any time again."""
    await call.app[SERVICE].never_be_quiet(call.user)


async def push_key(call: Call[None, None]) -> PushKey:
    """The key that browsers subscribe with (`applicationServerKey`)."""
    return call.app[DEVICES].key()


async def register_device(call: Call[RegisterDevice, None]) -> Device:
    """Have notifications pushed to a device (Web Push)."""
    return await call.app[DEVICES].register(call.user, call.body)


async def devices(call: Call[None, None]) -> Devices:
    """The caller's devices, latest first."""
    return await call.app[DEVICES].devices(call.user)


async def remove_device(call: Call[None, None]) -> None:
    """Have nothing pushed to a device any more."""
    await call.app[DEVICES].remove(call.user, call.id("device_id"))


_NOTIFICATIONS = "/api/v1/notifications"
_ONE = f"{_NOTIFICATIONS}/{{notification_id}}"
_PREFERENCES = f"{_NOTIFICATIONS}/preferences"
_DEVICES = f"{_NOTIFICATIONS}/devices"
_QUIET_HOURS = f"{_NOTIFICATIONS}/quiet-hours"

ENDPOINTS = (
    endpoint(
        "GET", _NOTIFICATIONS, notifications, query=NotificationsQuery, returns=Page[Notification]
    ),
    endpoint("GET", f"{_NOTIFICATIONS}/unread", unread, returns=UnreadCount),
    endpoint("PUT", f"{_NOTIFICATIONS}/read", read_all),
    endpoint("GET", _PREFERENCES, preferences, returns=Preferences),
    endpoint("PUT", f"{_PREFERENCES}/{{kind}}", prefer, body=SetPreference, returns=Preference),
    endpoint("PUT", _QUIET_HOURS, be_quiet, body=SetQuietHours, returns=QuietHours),
    endpoint("DELETE", _QUIET_HOURS, never_be_quiet),
    endpoint("GET", f"{_NOTIFICATIONS}/push-key", push_key, returns=PushKey),
    endpoint("PUT", _DEVICES, register_device, body=RegisterDevice, returns=Device),
    endpoint("GET", _DEVICES, devices, returns=Devices),
    endpoint("DELETE", f"{_DEVICES}/{{device_id}}", remove_device),
    endpoint("PUT", f"{_ONE}/read", read),
    endpoint("DELETE", _ONE, delete),
)
