"""Notifications in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pulse_sdk.contract.notifications import Notification
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id

_COLUMNS = "id, kind, actor_id, subject, read, created_at"

_INSERT = Query(
    "notifications_insert",
    """INSERT INTO notifications (user_id, id, event_id, kind, actor_id, subject)
    SELECT * FROM unnest(%(user_ids)s::uuid[], %(ids)s::uuid[], %(event_ids)s::uuid[],
        %(kinds)s::text[], %(actor_ids)s::uuid[], %(subjects)s::jsonb[])
    ON CONFLICT (user_id, event_id) DO NOTHING""",
)
_OF_USER = Query(
    "notifications_of_user",
    f"""SELECT {_COLUMNS} FROM notifications
    WHERE user_id = %(user_id)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
    ORDER BY id DESC LIMIT %(limit)s""",
)
_UNREAD = Query(
    "notifications_unread",
    "SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND NOT read",
)
_READ = Query(
    "notification_read",
    "UPDATE notifications SET read = true WHERE user_id = %(user_id)s AND id = %(id)s",
)
_READ_ALL = Query(
    "notifications_read_all",
    "UPDATE notifications SET read = true WHERE user_id = %(user_id)s AND NOT read",
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to be made."""

    user_id: UUID
    event_id: UUID
    kind: str
    actor_id: UUID | None
    subject: dict[str, Any]


class NotificationStore:
    """Reads and writes notifications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, notices: Sequence[Notice]) -> None:
        """Make notifications; those that their event made before stay as they are."""
        if not notices:
            return
        params = {
            "user_ids": [notice.user_id for notice in notices],
            "ids": [new_id() for _ in notices],
            "event_ids": [notice.event_id for notice in notices],
            "kinds": [notice.kind for notice in notices],
            "actor_ids": [notice.actor_id for notice in notices],
            "subjects": [json.dumps(notice.subject) for notice in notices],
        }
        await self._database.execute(_INSERT, params)

    async def of_user(self, user_id: UUID, before: UUID | None, limit: int) -> list[Notification]:
        """A person's notifications, newest first."""
        params = {"user_id": user_id, "before": before, "limit": limit}
        return [_notification(row) for row in await self._database.rows(_OF_USER, params)]

    async def unread(self, user_id: UUID) -> int:
        """How many a person has not read."""
        row = await self._database.row(_UNREAD, {"user_id": user_id})
        return 0 if row is None else int(row[0])

    async def read(self, user_id: UUID, notification_id: UUID) -> None:
        """Mark one of a person's own as read.

        Raises:
            ServiceError: 404.
        """
        params = {"user_id": user_id, "id": notification_id}
        if await self._database.execute(_READ, params) == 0:
            raise ServiceError.not_found("notification")

    async def read_all(self, user_id: UUID) -> None:
        """Mark all of a person's as read."""
        await self._database.execute(_READ_ALL, {"user_id": user_id})


def _notification(row: Row) -> Notification:
    notification_id, kind, actor_id, subject, read, created_at = row
    return Notification(
        id=notification_id,
        kind=kind,
        actor_id=actor_id,
        subject=subject,
        read=read,
        created_at=created_at,
    )
