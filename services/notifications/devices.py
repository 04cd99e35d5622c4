"""Devices, and what waits to be pushed to them, in PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from pulse_sdk.contract.notifications import Device, RegisterDevice
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id

MOST_DEVICES = 20
"""Devices of one person; a browser that subscribes anew leaves its old subscription behind."""

_LEASE_SECONDS = 60
"""How long a push is left to the instance that took it."""

_REGISTER = Query(
    "device_register",
    f"""INSERT INTO devices (user_id, id, endpoint, p256dh, auth)
    SELECT %(user_id)s, %(id)s, %(endpoint)s, %(p256dh)s, %(auth)s
    WHERE (
        SELECT count(*) FROM devices WHERE user_id = %(user_id)s AND endpoint <> %(endpoint)s
    ) < {MOST_DEVICES}
    ON CONFLICT (md5(endpoint)) DO UPDATE SET p256dh = excluded.p256dh, auth = excluded.auth,
        user_id = excluded.user_id, id = CASE
            WHEN devices.user_id = excluded.user_id THEN devices.id ELSE excluded.id END
    RETURNING id, endpoint, created_at""",
)
_OF_USER = Query(
    "devices_of_user",
    """SELECT id, endpoint, created_at FROM devices
    WHERE user_id = %(user_id)s ORDER BY id DESC""",
)
_REMOVE = Query(
    "device_remove",
    """WITH gone AS (
        DELETE FROM devices WHERE user_id = %(user_id)s AND id = %(id)s RETURNING 1
    ), pushes AS (
        DELETE FROM pushes WHERE user_id = %(user_id)s AND device_id = %(id)s
    )
    SELECT 1 FROM gone""",
)
_TAKE = Query(
    "pushes_take",
    f"""WITH due AS (
        SELECT id, user_id, device_id FROM pushes WHERE due_at <= now()
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), reachable AS (
        SELECT due.id, endpoint, p256dh, auth FROM due JOIN devices
            ON devices.user_id = due.user_id AND devices.id = due.device_id
    ), orphaned AS (
        DELETE FROM pushes USING due
        WHERE pushes.id = due.id AND due.id NOT IN (SELECT id FROM reachable)
    )
    UPDATE pushes SET attempts = attempts + 1,
        due_at = now() + interval '{_LEASE_SECONDS} seconds'
    FROM reachable WHERE pushes.id = reachable.id
    RETURNING pushes.id, user_id, device_id, attempts, endpoint, p256dh, auth, notification""",
)
_DONE = Query("push_done", "DELETE FROM pushes WHERE id = %(id)s")
_LATER = Query(
    "push_later",
    "UPDATE pushes SET due_at = now() + %(seconds)s * interval '1 second' WHERE id = %(id)s",
)


@dataclass(frozen=True, slots=True)
class Push:
    """A notification on its way to a device."""

    id: UUID
    user_id: UUID
    device_id: UUID
    attempts: int
    """How often it was tried, this time included."""
    endpoint: str
    p256dh: str
    auth: str
    notification: bytes
    """JSON of the contract's `Notification`."""


class DeviceStore:
    """Reads and writes devices and pushes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, user_id: UUID, wanted: RegisterDevice) -> Device:
        """Keep a device; a browser belongs to who registered it last.

        Raises:
            ServiceError: 409 `too_many_devices`.
        """
        params = {
            "user_id": user_id,
            "id": new_id(),
            "endpoint": wanted.endpoint,
            "p256dh": wanted.keys.p256dh,
            "auth": wanted.keys.auth.get_secret_value(),
        }
        row = await self._database.row(_REGISTER, params)
        if row is None:
            detail = f"There are {MOST_DEVICES} devices already; delete one of them."
            raise ServiceError.conflict("too_many_devices", detail)
        return _device(row)

    async def of_user(self, user_id: UUID) -> list[Device]:
        """A person's devices, latest first."""
        return [_device(row) for row in await self._database.rows(_OF_USER, {"user_id": user_id})]

    async def remove(self, user_id: UUID, device_id: UUID) -> None:
        """Forget a device and what was to be pushed to it.

        Raises:
            ServiceError: 404 `device_not_found`.
        """
        params = {"user_id": user_id, "id": device_id}
        if await self._database.row(_REMOVE, params) is None:
            raise ServiceError.not_found("device")

    async def take(self, limit: int) -> list[Push]:
        """What is due, for this instance alone until its lease ends."""
        rows = await self._database.rows(_TAKE, {"limit": limit})
        return [_push(row) for row in rows]

    async def done(self, push_id: UUID) -> None:
        """A push was delivered, or is given up."""
        await self._database.execute(_DONE, {"id": push_id})

    async def later(self, push_id: UUID, seconds: float) -> None:
        """A push is to be tried again."""
        await self._database.execute(_LATER, {"id": push_id, "seconds": seconds})


def _push(row: Row) -> Push:
    push_id, user_id, device_id, attempts, endpoint, p256dh, auth, notification = row
    told = json.dumps(notification).encode()
    return Push(push_id, user_id, device_id, attempts, endpoint, p256dh, auth, told)


def _device(row: Row) -> Device:
    device_id, endpoint, created_at = row
    parts = urlsplit(endpoint)
    origin = f"{parts.scheme}://{parts.netloc}"
    return Device(id=device_id, origin=origin, created_at=created_at)
