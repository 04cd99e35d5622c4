"""Accounts in PostgreSQL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.domain import UserChanged, UserRegisteredEvent, UserUpdatedEvent
from pulse_sdk.contract.internal import ImportUser
from pulse_sdk.contract.users import Me, Register, UpdateProfile
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_COLUMNS = "id, username, display_name, bio, created_at, email"

_INSERT = Query(
    "user_insert",
    f"""WITH event AS ({outbox.INSERT})
    INSERT INTO users (id, email, username, display_name, password_hash)
    VALUES (%(id)s, %(email)s, %(username)s, %(display_name)s, %(password_hash)s)
    RETURNING {_COLUMNS}""",
)
_BY_ID = Query("user_by_id", f"SELECT {_COLUMNS} FROM users WHERE id = %(id)s")
_CREDENTIALS = Query(
    "user_credentials",
    """SELECT id, password_hash FROM users WHERE email = %(login)s
    UNION ALL SELECT id, password_hash FROM users WHERE username = %(login)s LIMIT 1""",
)
_UPDATE = Query(
    "user_update",
    f"""WITH changed AS (
        UPDATE users SET display_name = coalesce(%(display_name)s, display_name),
            bio = coalesce(%(bio)s, bio)
        WHERE id = %(id)s RETURNING {_COLUMNS}
    ), event AS ({outbox.INSERT} FROM changed)
    SELECT {_COLUMNS} FROM changed""",
)
_IMPORT = Query(
    "user_import",
    """INSERT INTO users (id, email, username, display_name, password_hash)
    SELECT unnest(%(ids)s), unnest(%(emails)s), unnest(%(usernames)s),
        unnest(%(display_names)s), %(password_hash)s
    ON CONFLICT DO NOTHING""",
)

_TAKEN = {
    "users_email_key": ("email_taken", "There is an account with this email."),
    "users_username_key": ("username_taken", "This username is taken."),
}


class UserStore:
    """Reads and writes accounts."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def insert(self, account: Register, password_hash: str) -> Me:
        """Make an account and its `user.registered`.

        Raises:
            ServiceError: 409 `email_taken` or `username_taken`.
        """
        user_id = new_id()
        changed = UserChanged(
            user_id=user_id, username=account.username, display_name=account.display_name
        )
        params = {
            "id": user_id,
            "email": account.email,
            "username": account.username,
            "display_name": account.display_name,
            "password_hash": password_hash,
        }
        event = envelope(UserRegisteredEvent, "users", changed)
        try:
            row = await self._database.row(_INSERT, with_event(params, event))
        except psycopg2.errors.UniqueViolation as error:
            raise ServiceError.conflict(*_TAKEN[str(error.diag.constraint_name)]) from None
        self._outbox.wake()
        return _me(_present(row))

    async def by_id(self, user_id: UUID) -> Me:
        """An account.

        Raises:
            ServiceError: 404.
        """
        return _me(_present(await self._database.row(_BY_ID, {"id": user_id})))

    async def credentials(self, login: str) -> tuple[UUID, str] | None:
        """Id and password hash of the account with this email or username."""
        row = await self._database.row(_CREDENTIALS, {"login": login})
        return None if row is None else (row[0], row[1])

    async def update(self, current: Me, change: UpdateProfile) -> Me:
        """Change a profile and tell of it with `user.updated`.

        Raises:
            ServiceError: 404.
        """
        changed = UserChanged(
            user_id=current.id,
            username=current.username,
            display_name=change.display_name or current.display_name,
        )
        params = {"id": current.id, "display_name": change.display_name, "bio": change.bio}
        event = envelope(UserUpdatedEvent, "users", changed)
        row = await self._database.row(_UPDATE, with_event(params, event))
        self._outbox.wake()
        return _me(_present(row))

    async def import_users(self, users: list[ImportUser], password_hash: str) -> int:
        """Add accounts that are not there yet; how many were added."""
        params: dict[str, Any] = {
            "ids": [user.id for user in users],
            "emails": [user.email for user in users],
            "usernames": [user.username for user in users],
            "display_names": [user.display_name for user in users],
            "password_hash": password_hash,
        }
        return await self._database.execute(_IMPORT, params)


def _present(row: Row | None) -> Row:
    if row is None:
        raise ServiceError.not_found("user")
    return row


def _me(row: Row) -> Me:
    user_id, username, display_name, bio, created_at, email = row
    return Me(
        id=user_id,
        username=username,
        display_name=display_name,
        bio=bio,
        created_at=created_at,
        email=email,
    )
