"""Notifications, preferences and blocks in PostgreSQL; devices are in `devices`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.common import FieldError
from pulse_sdk.contract.notifications import (
    Notification,
    NotificationKind,
    Preference,
    Preferences,
    QuietHours,
    SetPreference,
    SetQuietHours,
)
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id

KINDS: tuple[NotificationKind, ...] = get_args(NotificationKind)

_COLUMNS = "id, kind, actor_id, subject, read, created_at"

# Nobody is told of what somebody does whom they block. What is unwanted in the list is hidden
# there, so that its event still tells nobody twice, and is not written when nothing wants it.
_INSERT = Query(
    "notifications_insert",
    f"""WITH wanted AS (
        SELECT n.*, coalesce(n.kind = ANY (p.muted_in_app), false) AS hidden,
            coalesce(n.kind = ANY (p.muted_push), false) AS muted,
            coalesce(CASE WHEN quiet_from < quiet_to
                THEN local.clock >= quiet_from AND local.clock < quiet_to
                ELSE local.clock >= quiet_from OR local.clock < quiet_to END, false) AS quiet
        FROM unnest(%(user_ids)s::uuid[], %(ids)s::uuid[], %(event_ids)s::uuid[],
            %(kinds)s::text[], %(actor_ids)s::uuid[], %(subjects)s::jsonb[]
        ) AS n (user_id, id, event_id, kind, actor_id, subject)
        LEFT JOIN preferences AS p ON p.user_id = n.user_id
        LEFT JOIN LATERAL (SELECT (now() AT TIME ZONE p.time_zone)::time AS clock) AS local ON true
        WHERE NOT EXISTS (
            SELECT FROM blocks
            WHERE blocker_id = n.user_id AND blocked_id = n.actor_id AND blocked
        )
    ), made AS (
        INSERT INTO notifications (user_id, id, event_id, kind, actor_id, subject, hidden, read)
        SELECT user_id, id, event_id, kind, actor_id, subject, hidden, hidden
        FROM wanted WHERE NOT (hidden AND muted)
        ON CONFLICT (user_id, event_id) DO NOTHING
        RETURNING user_id, hidden, {_COLUMNS}
    ), pushed AS (
        INSERT INTO pushes (id, user_id, device_id, notification)
        SELECT gen_random_uuid(), made.user_id, devices.id, jsonb_build_object(
            'id', made.id, 'kind', made.kind, 'actor_id', made.actor_id,
            'subject', made.subject, 'read', false, 'created_at', made.created_at
        )
        FROM made JOIN wanted ON wanted.id = made.id AND NOT muted AND NOT quiet
            JOIN devices ON devices.user_id = made.user_id
        RETURNING 1
    )
    SELECT user_id, {_COLUMNS}, EXISTS (SELECT FROM pushed) FROM made WHERE NOT hidden""",
)
_OF_USER = Query(
    "notifications_of_user",
    f"""SELECT {_COLUMNS} FROM notifications
    WHERE user_id = %(user_id)s AND (%(before)s::uuid IS NULL OR id < %(before)s) AND NOT hidden
    ORDER BY id DESC LIMIT %(limit)s""",
)
_UNREAD_OF_USER = Query(
    "notifications_unread_of_user",
    f"""SELECT {_COLUMNS} FROM notifications
    WHERE user_id = %(user_id)s AND (%(before)s::uuid IS NULL OR id < %(before)s) AND NOT read
    ORDER BY id DESC LIMIT %(limit)s""",
)
_UNREAD = Query(
    "notifications_unread",
    "SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND NOT read",
)
_READ = Query(
    "notification_read",
    """UPDATE notifications SET read = true
    WHERE user_id = %(user_id)s AND id = %(id)s AND NOT hidden""",
)
_READ_ALL = Query(
    "notifications_read_all",
    "UPDATE notifications SET read = true WHERE user_id = %(user_id)s AND NOT read",
)
_HIDE = Query(
    "notification_hide",
    """UPDATE notifications SET hidden = true, read = true, subject = '{}'
    WHERE user_id = %(user_id)s AND id = %(id)s AND NOT hidden""",
)
_PREFERENCES = Query(
    "preferences_of_user",
    """SELECT muted_in_app, muted_push, quiet_from, quiet_to, time_zone
    FROM preferences WHERE user_id = %(user_id)s""",
)
_PREFER = Query(
    "preference_set",
    """INSERT INTO preferences AS p (user_id, muted_in_app, muted_push)
    VALUES (%(user_id)s, CASE WHEN %(in_app)s THEN '{}' ELSE ARRAY[%(kind)s] END,
        CASE WHEN %(push)s THEN '{}' ELSE ARRAY[%(kind)s] END)
    ON CONFLICT (user_id) DO UPDATE SET
        muted_in_app = array_remove(p.muted_in_app, %(kind)s) || excluded.muted_in_app,
        muted_push = array_remove(p.muted_push, %(kind)s) || excluded.muted_push""",
)
# The comparison has PostgreSQL say now that it does not know the zone.
_QUIET = Query(
    "quiet_hours_set",
    """INSERT INTO preferences (user_id, quiet_from, quiet_to, time_zone)
    SELECT %(user_id)s, %(starts_at)s, %(ends_at)s, %(time_zone)s
    WHERE now() AT TIME ZONE %(time_zone)s IS NOT NULL
    ON CONFLICT (user_id) DO UPDATE SET quiet_from = excluded.quiet_from,
        quiet_to = excluded.quiet_to, time_zone = excluded.time_zone""",
)
_NEVER_QUIET = Query(
    "quiet_hours_end",
    """UPDATE preferences SET quiet_from = NULL, quiet_to = NULL, time_zone = NULL
    WHERE user_id = %(user_id)s""",
)
_EXPIRED = """DELETE FROM notifications WHERE (user_id, id) IN (
        SELECT user_id, id FROM notifications
        WHERE {which} AND created_at < now() - %(days)s * interval '1 day'
        ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )"""
_EXPIRE_READ = Query("notifications_expire_read", _EXPIRED.format(which="read"))
_EXPIRE_UNREAD = Query("notifications_expire_unread", _EXPIRED.format(which="NOT read"))
_BLOCK = Query(
    "block_set",
    """INSERT INTO blocks AS b (blocker_id, blocked_id, blocked, changed_at)
    VALUES (%(blocker_id)s, %(blocked_id)s, %(blocked)s, %(changed_at)s)
    ON CONFLICT (blocker_id, blocked_id) DO UPDATE
        SET blocked = excluded.blocked, changed_at = excluded.changed_at
        WHERE b.changed_at < excluded.changed_at""",
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to be made."""

    user_id: UUID
    event_id: UUID
    kind: NotificationKind
    actor_id: UUID | None
    subject: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of notices."""

    listed: list[tuple[UUID, Notification]]
    """Whom it is for, and what appears in their list."""
    pushed: bool
    """Whether something waits to be pushed."""


class NotificationStore:
    """Reads and writes notifications, and what is wanted of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, notices: Sequence[Notice]) -> Made:
        """Make notifications of what is wanted; those that their event made before stay."""
        if not notices:
            return Made([], False)
        params = {
            "user_ids": [notice.user_id for notice in notices],
            "ids": [new_id() for _ in notices],
            "event_ids": [notice.event_id for notice in notices],
            "kinds": [notice.kind for notice in notices],
            "actor_ids": [notice.actor_id for notice in notices],
            "subjects": [json.dumps(notice.subject) for notice in notices],
        }
        rows = await self._database.rows(_INSERT, params)
        listed = [(row[0], _notification(row[1:-1])) for row in rows]
        if listed:
            # They are shown it as it happens, and may look at once.
            await self._database.wrote_for(user_id for user_id, _ in listed)
        return Made(listed, any(row[-1] for row in rows))

    async def of_user(
        self, user_id: UUID, before: UUID | None, limit: int, *, unread: bool = False
    ) -> list[Notification]:
        """A person's notifications, newest first."""
        params = {"user_id": user_id, "before": before, "limit": limit}
        query = _UNREAD_OF_USER if unread else _OF_USER
        return [_notification(row) for row in await self._database.read(query, params)]

    async def unread(self, user_id: UUID) -> int:
        """How many a person has not read."""
        ((unread,),) = await self._database.read(_UNREAD, {"user_id": user_id})
        return int(unread)

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

    async def delete(self, user_id: UUID, notification_id: UUID) -> None:
        """Take one of a person's own off their list, for good.

        Raises:
            ServiceError: 404.
        """
        params = {"user_id": user_id, "id": notification_id}
        if await self._database.execute(_HIDE, params) == 0:
            raise ServiceError.not_found("notification")

    async def expire(self, read_days: int, unread_days: int, limit: int = 1000) -> int | None:
        """Delete some that are older than so many days; how many, None when there are none."""
        deleted = 0
        for query, days in ((_EXPIRE_READ, read_days), (_EXPIRE_UNREAD, unread_days)):
            deleted += await self._database.execute(query, {"days": days, "limit": limit})
        return deleted or None

    async def preferences(self, user_id: UUID) -> Preferences:
        """What a person wants; everything, unless they said otherwise."""
        row = await self._database.row(_PREFERENCES, {"user_id": user_id})
        muted_in_app, muted_push, starts_at, ends_at, time_zone = row or ([], [], None, None, None)
        kinds = [
            Preference(kind=kind, in_app=kind not in muted_in_app, push=kind not in muted_push)
            for kind in KINDS
        ]
        quiet = None
        if time_zone is not None:
            quiet = QuietHours(starts_at=starts_at, ends_at=ends_at, time_zone=time_zone)
        return Preferences(kinds=kinds, quiet_hours=quiet)

    async def prefer(self, user_id: UUID, kind: str, wanted: SetPreference) -> None:
        """Write through which channels a person wants a kind."""
        params = {"user_id": user_id, "kind": kind, **wanted.model_dump()}
        await self._database.execute(_PREFER, params)

    async def be_quiet(self, user_id: UUID, hours: SetQuietHours) -> None:
        """Write when nothing is pushed to a person.

        Raises:
            ServiceError: 422, there is no such time zone.
        """
        try:
            await self._database.execute(_QUIET, {"user_id": user_id, **hours.model_dump()})
        except psycopg2.errors.InvalidParameterValue:
            message = "is not a time zone that is known here"
            raise ServiceError.invalid([FieldError(field="time_zone", message=message)]) from None

    async def never_be_quiet(self, user_id: UUID) -> None:
        """Forget a person's quiet hours."""
        await self._database.execute(_NEVER_QUIET, {"user_id": user_id})

    async def block(
        self, blocker_id: UUID, blocked_id: UUID, changed_at: datetime, *, blocked: bool
    ) -> None:
        """Note whether somebody blocks somebody, unless something newer is known."""
        params = {
            "blocker_id": blocker_id,
            "blocked_id": blocked_id,
            "blocked": blocked,
            "changed_at": changed_at,
        }
        await self._database.execute(_BLOCK, params)


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
