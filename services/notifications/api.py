"""HTTP endpoints of the notifications service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.notifications import Notification, UnreadCount
from services.kit.http import Call, endpoint
from services.notifications.service import NotificationsService

SERVICE = web.AppKey("service", NotificationsService)


async def notifications(call: Call[None, PageQuery]) -> Page[Notification]:
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


_NOTIFICATIONS = "/api/v1/notifications"

ENDPOINTS = (
    endpoint("GET", _NOTIFICATIONS, notifications, query=PageQuery, returns=Page[Notification]),
    endpoint("GET", f"{_NOTIFICATIONS}/unread", unread, returns=UnreadCount),
    endpoint("PUT", f"{_NOTIFICATIONS}/read", read_all),
    endpoint("PUT", f"{_NOTIFICATIONS}/{{notification_id}}/read", read),
)
