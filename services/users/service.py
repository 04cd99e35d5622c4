"""Rules of accounts, log-in and profiles."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.internal import Imported, ImportUsers
from pulse_sdk.contract.users import (
    Login,
    Me,
    Refresh,
    Register,
    Registered,
    Session,
    Tokens,
    UpdateProfile,
    User,
)
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.users.passwords import Passwords
from services.users.sessions import Sessions
from services.users.store import UserStore


class UsersService:
    """Accounts, sessions and profiles."""

    def __init__(
        self, store: UserStore, profiles: Cache, passwords: Passwords, sessions: Sessions
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._passwords = passwords
        self._sessions = sessions

    async def register(self, account: Register) -> Registered:
        """Make an account and log it in.

        Raises:
            ServiceError: 409 `email_taken` or `username_taken`.
        """
        password_hash = await self._passwords.hash(account.password.get_secret_value())
        me = await self._store.insert(account, password_hash)
        return Registered(user=_public(me), tokens=await self._sessions.open(me.id))

    async def login(self, credentials: Login) -> Tokens:
        """Begin a session.

        Raises:
            ServiceError: 401 `credentials_wrong`, whichever part is wrong.
        """
        found = await self._store.credentials(credentials.login.lower())
        user_id, password_hash = found or (None, None)
        right = await self._passwords.verify(password_hash, credentials.password.get_secret_value())
        if user_id is None or not right:
            raise ServiceError.unauthorized("credentials_wrong", "Login or password is wrong.")
        return await self._sessions.open(user_id)

    async def refresh(self, token: Refresh) -> Tokens:
        """Exchange a refresh token for new tokens.

        Raises:
            ServiceError: 401 `refresh_token_invalid`.
        """
        return await self._sessions.refresh(token.refresh_token.get_secret_value())

    async def logout(self, caller: Identity) -> None:
        """End the caller's session."""
        await self._sessions.close(caller.session_id)

    async def session(self, caller: Identity) -> Session:
        """The caller's session.

        Raises:
            ServiceError: 404 `session_not_found`, it has ended.
        """
        return await self._sessions.current(caller)

    async def me(self, caller: Identity) -> Me:
        """The caller's own profile.

        Raises:
            ServiceError: 404 `user_not_found`.
        """
        return await self._store.by_id(caller.user_id)

    async def profile(self, user_id: UUID) -> User:
        """Anyone's profile.

        Raises:
            ServiceError: 404 `user_not_found`.
        """

        async def load() -> User:
            return _public(await self._store.by_id(user_id))

        return await self._profiles.get_or_load(user_id, User, load)

    async def update(self, caller: Identity, change: UpdateProfile) -> Me:
        """Change the caller's profile.

        Raises:
            ServiceError: 404 `user_not_found`.
        """
        me = await self._store.update(await self._store.by_id(caller.user_id), change)
        await self._profiles.set_many({me.id: _public(me).model_dump_json().encode()})
        return me

    async def import_users(self, accounts: ImportUsers) -> Imported:
        """Add accounts that share one password, hence one hash."""
        password_hash = await self._passwords.hash(accounts.password.get_secret_value())
        return Imported(imported=await self._store.import_users(accounts.users, password_hash))


def _public(me: Me) -> User:
    return User.model_validate(me.model_dump(exclude={"email"}))
