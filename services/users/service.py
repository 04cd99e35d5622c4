"""Rules of accounts, log-in, sessions and profiles."""

from __future__ import annotations

import hashlib
import logging
import re
from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import Imported, ImportUsers, UserBatch, UsersByIds
from pulse_sdk.contract.users import (
    ChangePassword,
    Login,
    Me,
    Refresh,
    Register,
    Registered,
    Session,
    Tokens,
    UpdateProfile,
    User,
    UsersQuery,
)
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import decode_cursor, id_cursor, invalid_cursor, page_of
from services.users.attempts import Attempts
from services.users.passwords import Passwords
from services.users.sessions import Begun, Client, Sessions
from services.users.store import Account, Rank, UserStore

log = logging.getLogger(__name__)

_PLACE = re.compile(r"([a-z0-9_]{3,30})(?::(\d{1,4}):(\d{1,4}))?", re.ASCII)
"""Where a search goes on: after a username that begins so, or after one that is similar."""


class UsersService:
    """Accounts, sessions and profiles."""

    def __init__(
        self,
        store: UserStore,
        profiles: Cache,
        passwords: Passwords,
        sessions: Sessions,
        attempts: Attempts,
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = attempts

    async def register(self, account: Register, client: Client) -> Registered:
        """Make an account and log it in.

        Raises:
            ServiceError: 409 `email_taken` or `username_taken`.
        """
        password_hash = await self._passwords.hash(account.password.get_secret_value())
        me = await self._store.insert(account, password_hash)
        tokens = await self._sessions.open(me.id, 0, client)
        return Registered(user=_public(me), tokens=tokens)

    async def login(self, credentials: Login, client: Client) -> Tokens:
        """Begin a session.

        Raises:
            ServiceError: 401 `credentials_wrong`, whichever part is wrong; 429
                `too_many_attempts`, too many were, for the account or from the address.
        """
        login = credentials.login.lower()
        account = await self._store.account_by_login(login)
        # One count for an account, whether it is called by its email or its username.
        counted = str(account.id) if account else hashlib.sha256(login.encode()).hexdigest()
        self._passwords.admit()
        await self._attempts.begin(counted, client.address)
        right = await self._passwords.verify(
            account and account.password_hash, credentials.password.get_secret_value()
        )
        if account is None or not right:
            raise ServiceError.unauthorized("credentials_wrong", "Login or password is wrong.")
        tokens = await self._sessions.open(account.id, account.session_epoch, client)
        await self._attempts.succeeded(counted, client.address)
        return tokens

    async def refresh(self, token: Refresh) -> Tokens:
        """Exchange a refresh token for new tokens.

        Raises:
            ServiceError: 401 `refresh_token_invalid`: it is not good, its session has ended, or it
                was exchanged before and for longer than a lost answer explains, which ends its
                session.
        """
        given = token.refresh_token.get_secret_value()
        session = await self._sessions.of_token(given)
        account = session and await self._store.account(session.user_id)
        # Asked before the token is used up, so that it is still good if PostgreSQL is away.
        if session is not None and _lives(session, account):
            tokens = await self._sessions.refresh(session, given)
            if tokens is not None:
                return tokens
        raise ServiceError.unauthorized("refresh_token_invalid", "Log in again.")

    async def logout(self, caller: Identity) -> None:
        """End the caller's session."""
        await self._sessions.close(caller.user_id, caller.session_id)

    async def end_session(self, caller: Identity, session_id: UUID) -> None:
        """End one of the caller's sessions.

        Raises:
            ServiceError: 404 `session_not_found`, there is none of the caller's with this id; 401
                `session_ended`, the caller's own has ended.
        """
        await self._logged_in(caller)
        if not await self._sessions.close(caller.user_id, session_id):
            raise ServiceError.not_found("session")

    async def end_sessions(self, caller: Identity) -> None:
        """End all of the caller's sessions.

        Raises:
            ServiceError: 401 `session_ended`.
        """
        await self._logged_in(caller)
        await self._store.end_sessions(caller.user_id)
        await self._sessions.close_all(caller.user_id)

    async def session(self, caller: Identity) -> Session:
        """The caller's session.

        Raises:
            ServiceError: 404 `session_not_found`, it has ended.
        """
        session = await self._sessions.get(caller.session_id)
        account = session and await self._store.account(caller.user_id)
        if session is None or not _lives(session, account):
            raise ServiceError.not_found("session")
        return session.seen_by(caller)

    async def sessions(self, caller: Identity, query: PageQuery) -> Page[Session]:
        """The caller's sessions, the newest first.

        Raises:
            ServiceError: 401 `session_ended`.
        """
        before = id_cursor(query.cursor)
        account = await self._logged_in(caller)
        found = [
            session.seen_by(caller)
            for session in await self._sessions.of_user(caller.user_id)
            if _lives(session, account) and (before is None or session.id < before)
        ]
        return page_of(found, query.limit, lambda session: str(session.id))

    async def change_password(
        self, caller: Identity, change: ChangePassword, client: Client
    ) -> None:
        """Change the caller's password and end the other sessions.

        Raises:
            ServiceError: 401 `session_ended`; 403 `password_wrong`; 409 `password_changed`, by
                another request at this moment; 429 `too_many_attempts`.
        """
        account = await self._logged_in(caller)
        counted = str(account.id)
        self._passwords.admit()
        await self._attempts.begin(counted, client.address)
        given = change.current_password.get_secret_value()
        if not await self._passwords.verify(account.password_hash, given):
            raise ServiceError.forbidden("password_wrong", "The current password is wrong.")
        await self._attempts.succeeded(counted, client.address)
        password_hash = await self._passwords.hash(change.new_password.get_secret_value())
        epoch = await self._store.set_password(account, password_hash)
        if epoch is None:
            raise ServiceError.conflict("password_changed", "The password has changed meanwhile.")
        try:
            await self._sessions.close_all(account.id, keep=caller.session_id, epoch=epoch)
        except ServiceError as error:
            # Done all the same: the new epoch ends all of them, the caller's included.
            log.warning("sessions outlive a password until they are refreshed: %s", error)

    async def _logged_in(self, caller: Identity) -> Account:
        """The caller's account: what is at stake here, an ended session may not touch."""
        session = await self._sessions.get(caller.session_id)
        account = await self._store.account(caller.user_id)
        if account is None or session is None or not _lives(session, account):
            raise ServiceError.unauthorized("session_ended", "Log in again.")
        return account

    async def me(self, caller: Identity) -> Me:
        """The caller's own profile.

        Raises:
            ServiceError: 404 `user_not_found`.
        """
        return await self._store.by_id(caller.user_id)

    async def profile(self, user_id: UUID) -> bytes:
        """Anyone's profile: the JSON of a `User`, as it is kept.

        Raises:
            ServiceError: 404 `user_not_found`.
        """

        async def load() -> User:
            return _public(await self._store.by_id(user_id))

        return await self._profiles.json_or_load(user_id, load)

    async def update(
        self, caller: Identity, change: UpdateProfile, versions: frozenset[int] | None
    ) -> Me:
        """Change the caller's profile, if it has one of the versions.

        Raises:
            ServiceError: 404 `user_not_found`; 412 `stale`, it has another version.
        """
        while True:
            me = await self._store.by_id(caller.user_id)
            if versions is not None and me.version not in versions:
                raise ServiceError.stale("profile")
            changed = me.model_copy(update=change.model_dump(exclude_none=True))
            if changed == me:
                return me
            # Written over the version that was read alone, for its event tells of all fields.
            # When that fails another change was made, so that one of any number always gets on.
            written = await self._store.update(changed)
            if written is not None:
                await self._profiles.drop(me.id)
                return written

    async def search(self, query: UsersQuery) -> Page[User]:
        """People by the beginning of the username, then by similar names, best first."""
        after, rank = _place(query.cursor)
        wanted = query.limit + 1
        found: list[tuple[Me, str]] = []
        if rank is None:
            begun = await self._store.by_prefix(query.query.lower(), after, wanted)
            found += ((me, me.username) for me in begun)
        if len(found) < wanted:
            similar = await self._store.similar(query.query, rank, wanted - len(found))
            found += ((me, f"{r.after}:{r.common}:{r.size}") for me, r in similar)
        page = page_of(found, query.limit, lambda one: one[1])
        return Page(items=[_public(me) for me, _ in page.items], next_cursor=page.next_cursor)

    async def batch(self, wanted: UsersByIds) -> UserBatch:
        """The profiles that exist, in the order asked for: one look into the cache for all."""
        entries = dict(zip(wanted.ids, await self._profiles.get_many(wanted.ids), strict=True))
        missing = [user_id for user_id, entry in entries.items() if entry is None]
        if missing:
            loaded = {
                me.id: _public(me).model_dump_json().encode()
                for me in await self._store.by_ids(missing)
            }
            entries |= loaded
            await self._profiles.fill_many(loaded)
        found = b",".join(entry for entry in entries.values() if entry is not None)
        return UserBatch.model_validate_json(b'{"items":[%b]}' % found)

    async def import_users(self, accounts: ImportUsers) -> Imported:
        """Add accounts that share one password, hence one hash."""
        password_hash = await self._passwords.hash(accounts.password.get_secret_value())
        return Imported(imported=await self._store.import_users(accounts.users, password_hash))


def _public(me: Me) -> User:
    return User.model_validate(me.model_dump(exclude={"email", "version"}))


def _lives(session: Begun, account: Account | None) -> bool:
    return account is not None and session.epoch == account.session_epoch


def _place(cursor: str | None) -> tuple[str, Rank | None]:
    """The username that a search goes on after, and its rank once those that begin so are told.

    Raises:
        ServiceError: 422, it is not a cursor of a search.
    """
    if cursor is None:
        return "", None
    place = _PLACE.fullmatch(decode_cursor(cursor))
    if place is None:
        raise invalid_cursor()
    username, common, size = place.groups()
    return username, None if common is None else Rank(int(common), int(size), username)
