"""Accounts in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2.errors

from pulse_sdk.contract.domain import UserChanged, UserRegisteredEvent, UserUpdatedEvent
from pulse_sdk.contract.internal import ImportUser
from pulse_sdk.contract.users import Me, Register
from services.kit import outbox
from services.kit.db import Database, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.outbox import Outbox, envelope, with_event

_COLUMNS = "id, username, display_name, bio, created_at, visibility, email, version"

_INSERT = Query(
    "user_insert",
    f"""WITH event AS ({outbox.INSERT})
    INSERT INTO users (id, email, username, display_name, password_hash)
    VALUES (%(id)s, %(email)s, %(username)s, %(display_name)s, %(password_hash)s)
    RETURNING {_COLUMNS}""",
)
_BY_ID = Query("user_by_id", f"SELECT {_COLUMNS} FROM users WHERE id = %(id)s")
_BY_IDS = Query("users_by_ids", f"SELECT {_COLUMNS} FROM users WHERE id = ANY(%(ids)s)")
_LOGIN = "id, password_hash, session_epoch"
_ACCOUNT_BY_LOGIN = Query(
    "account_by_login",
    f"""SELECT {_LOGIN} FROM users WHERE email = %(login)s
    UNION ALL SELECT {_LOGIN} FROM users WHERE username = %(login)s LIMIT 1""",
)
_ACCOUNT = Query("account_by_id", f"SELECT {_LOGIN} FROM users WHERE id = %(id)s")
_SET_PASSWORD = Query(
    "password_set",
    """UPDATE users SET password_hash = %(new)s, session_epoch = session_epoch + 1
    WHERE id = %(id)s AND password_hash = %(old)s RETURNING session_epoch""",
)
_END_SESSIONS = Query(
    "sessions_end",
    """UPDATE users SET session_epoch = session_epoch + 1 WHERE id = %(id)s
    RETURNING session_epoch""",
)
_UPDATE = Query(
    "user_update",
    f"""WITH changed AS (
        UPDATE users SET display_name = %(display_name)s, bio = %(bio)s,
            visibility = %(visibility)s, version = version + 1
        WHERE id = %(id)s AND version = %(version)s RETURNING {_COLUMNS}
    ), event AS ({outbox.INSERT} FROM changed)
    SELECT {_COLUMNS} FROM changed""",
)
_BY_PREFIX = Query(
    "users_by_prefix",
    f"""SELECT {_COLUMNS} FROM users
    WHERE username COLLATE "C" >= %(prefix)s AND username COLLATE "C" < %(prefix)s || '~'
        AND username COLLATE "C" > %(after)s
    ORDER BY username COLLATE "C" LIMIT %(count)s""",
)
_MOST = 2000
"""Accounts looked at for one pair of trigrams. Who has no rarer pair is one of very many alike."""

# Who shares half of the text's trigrams shares two of some group when these are dealt to one group
# fewer than that half has: hence the index is asked for pairs, which few names have by chance.
_SIMILAR = Query(
    "users_similar",
    f"""WITH part AS MATERIALIZED (
        SELECT part, place, greatest(2, (count(*) OVER () + 1) / 2) AS needed
        FROM unnest(name_trigrams(%(text)s)) WITH ORDINALITY AS p (part, place)
    ), pair AS MATERIALIZED (
        SELECT ARRAY[a.part, b.part] AS pair FROM part a
        JOIN part b ON a.place < b.place AND (b.place - a.place) %% (a.needed - 1) = 0
    ), candidate AS (
        SELECT DISTINCT id FROM pair
        CROSS JOIN LATERAL (SELECT id FROM users WHERE trigrams @> pair LIMIT {_MOST}) AS found
    )
    SELECT {_COLUMNS}, common, cardinality(trigrams) FROM candidate JOIN users USING (id)
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS common FROM unnest(trigrams) AS t
        WHERE t = ANY (ARRAY(SELECT part FROM part))
    ) AS counted
    WHERE common >= (SELECT min(needed) FROM part) AND NOT starts_with(username, %(prefix)s)
        AND (-common, cardinality(trigrams), username COLLATE "C")
            > (-%(common)s, %(size)s, %(after)s)
    ORDER BY -common, cardinality(trigrams), username COLLATE "C" LIMIT %(count)s""",
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


class Account(NamedTuple):
    """What a log-in is checked against."""

    id: UUID
    password_hash: str
    session_epoch: int
    """Sessions of an earlier epoch are over."""


class Rank(NamedTuple):
    """Where an account stands among those with similar names; a smaller `size` is better."""

    common: int
    """How many trigrams it has in common with the text."""
    size: int
    """How many it has."""
    after: str
    """Its username."""


_MANY = 1 << 20
"""More trigrams than any name has."""


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
        data = UserChanged(
            user_id=user_id, username=account.username, display_name=account.display_name
        )
        params = {
            "id": user_id,
            "email": account.email,
            "username": account.username,
            "display_name": account.display_name,
            "password_hash": password_hash,
        }
        event = envelope(UserRegisteredEvent, "users", data)
        try:
            row = await self._database.row(_INSERT, with_event(params, event))
        except psycopg2.errors.UniqueViolation as error:
            raise ServiceError.conflict(*_TAKEN[str(error.diag.constraint_name)]) from None
        self._outbox.wake()
        await self._database.wrote_for((user_id,))
        return _me(_present(row))

    async def by_id(self, user_id: UUID) -> Me:
        """An account.

        Raises:
            ServiceError: 404.
        """
        return _me(_present(await self._database.row(_BY_ID, {"id": user_id})))

    async def by_ids(self, ids: Sequence[UUID]) -> list[Me]:
        """The accounts that exist, in no order."""
        return [_me(row) for row in await self._database.rows(_BY_IDS, {"ids": list(ids)})]

    async def account_by_login(self, login: str) -> Account | None:
        """The account with this email or username."""
        return _account(await self._database.row(_ACCOUNT_BY_LOGIN, {"login": login}))

    async def account(self, user_id: UUID) -> Account | None:
        """The account with this id."""
        return _account(await self._database.row(_ACCOUNT, {"id": user_id}))

    async def set_password(self, account: Account, password_hash: str) -> int | None:
        """Begin a new epoch with a new password; None when it was changed in the meantime."""
        params = {"id": account.id, "old": account.password_hash, "new": password_hash}
        row = await self._database.row(_SET_PASSWORD, params)
        return None if row is None else int(row[0])

    async def end_sessions(self, user_id: UUID) -> None:
        """Begin a new epoch: no session that exists may be refreshed."""
        await self._database.execute(_END_SESSIONS, {"id": user_id})

    async def update(self, changed: Me) -> Me | None:
        """Write a profile, and tell of it with `user.updated`.

        None when there is a newer version than the one that `changed` was made from.
        """
        params = changed.model_dump(include={"id", "display_name", "bio", "visibility", "version"})
        event = envelope(UserUpdatedEvent, "users", _data(changed))
        row = await self._database.row(_UPDATE, with_event(params, event))
        if row is None:
            return None
        self._outbox.wake()
        return _me(row)

    async def by_prefix(self, prefix: str, after: str, count: int) -> list[Me]:
        """Accounts whose username begins so, by username, those after one."""
        params = {"prefix": prefix, "after": after, "count": count}
        return [_me(row) for row in await self._database.read(_BY_PREFIX, params)]

    async def similar(self, text: str, after: Rank | None, count: int) -> list[tuple[Me, Rank]]:
        """Accounts with at least half of a text's trigrams in their names, best first.

        Those whose username begins with the text are left out.
        """
        params = {
            "text": text,
            "prefix": text.lower(),
            **(after or Rank(_MANY, 0, ""))._asdict(),
            "count": count,
        }
        rows = await self._database.read(_SIMILAR, params)
        return [(me := _me(row[:-2]), Rank(row[-2], row[-1], me.username)) for row in rows]

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


def _account(row: Row | None) -> Account | None:
    return None if row is None else Account(*row)


def _data(me: Me) -> UserChanged:
    return UserChanged(
        user_id=me.id,
        username=me.username,
        display_name=me.display_name,
        visibility=me.visibility,
    )


def _me(row: Row) -> Me:
    user_id, username, display_name, bio, created_at, visibility, email, version = row
    return Me(
        id=user_id,
        username=username,
        display_name=display_name,
        bio=bio,
        created_at=created_at,
        visibility=visibility,
        email=email,
        version=version,
    )
