"""Notifications."""

from __future__ import annotations

from datetime import time
from types import NoneType

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk.contract.common import Page
from pulse_sdk.contract.notifications import (
    Device,
    DeviceKeys,
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
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Notifications(Resource[ClientT_co]):
    """What happened and concerns the caller."""

    @listing
    def list(
        self, *, unread: bool = False, limit: int = 20, cursor: str | None = None
    ) -> Call[Page[Notification]]:
        """The caller's notifications, newest first; with `unread`, those alone that are."""
        query = NotificationsQuery(unread=unread, limit=limit, cursor=cursor)
        return Call("GET", ("notifications",), Page[Notification], query_of(query))

    @endpoint
    def unread(self) -> Call[UnreadCount]:
        """How many are unread."""
        return Call("GET", ("notifications", "unread"), UnreadCount)

    @endpoint
    def mark_read(self, notification_id: Id) -> Call[None]:
        """Mark one as read."""
        return Call("PUT", ("notifications", notification_id, "read"), NoneType)

    @endpoint
    def mark_all_read(self) -> Call[None]:
        """Mark all as read."""
        return Call("PUT", ("notifications", "read"), NoneType)

    @endpoint
    def delete(self, notification_id: Id) -> Call[None]:
        """Delete one."""
        return Call("DELETE", ("notifications", notification_id), NoneType)

    @endpoint
    def preferences(self) -> Call[Preferences]:
        """Which notifications the caller wants, and when."""
        return Call("GET", ("notifications", "preferences"), Preferences)

    @endpoint
    def prefer(self, kind: NotificationKind, *, in_app: bool, push: bool) -> Call[Preference]:
        """Say through which channels notifications of a kind are wanted."""
        body = SetPreference(in_app=in_app, push=push)
        return Call("PUT", ("notifications", "preferences", kind), Preference, body=body)

    @endpoint
    def set_quiet_hours(self, starts_at: time, ends_at: time, time_zone: str) -> Call[QuietHours]:
        """Have nothing pushed daily between two times of an IANA zone (`Europe/Berlin`)."""
        body = SetQuietHours(starts_at=starts_at, ends_at=ends_at, time_zone=time_zone)
        return Call("PUT", ("notifications", "quiet-hours"), QuietHours, body=body)

    @endpoint
    def end_quiet_hours(self) -> Call[None]:
        """Have things pushed at any time again."""
        return Call("DELETE", ("notifications", "quiet-hours"), NoneType)

    @endpoint
    def push_key(self) -> Call[PushKey]:
        """The key that browsers subscribe with (`applicationServerKey`)."""
        return Call("GET", ("notifications", "push-key"), PushKey)

    @endpoint
    def register_device(self, endpoint: str, *, p256dh: str, auth: str) -> Call[Device]:
        """Have notifications pushed to a device: endpoint and keys of its Web Push subscription."""
        keys = DeviceKeys.model_validate({"p256dh": p256dh, "auth": auth})
        body = RegisterDevice(endpoint=endpoint, keys=keys)
        return Call("PUT", ("notifications", "devices"), Device, body=body)

    @endpoint
    def devices(self) -> Call[Devices]:
        """The caller's devices, latest first."""
        return Call("GET", ("notifications", "devices"), Devices)

    @endpoint
    def remove_device(self, device_id: Id) -> Call[None]:
        """Have nothing pushed to a device any more."""
        return Call("DELETE", ("notifications", "devices", device_id), NoneType)
