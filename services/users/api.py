"""HTTP endpoints of the users service."""

from __future__ import annotations

from aiohttp import web

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
from services.kit.http import Access, Call, endpoint
from services.users.service import UsersService

SERVICE = web.AppKey("service", UsersService)


async def register(call: Call[Register, None]) -> Registered:
    """Make an account and log it in."""
    return await call.app[SERVICE].register(call.body)


async def login(call: Call[Login, None]) -> Tokens:
    """Begin a session."""
    return await call.app[SERVICE].login(call.body)


async def refresh(call: Call[Refresh, None]) -> Tokens:
    """Exchange a refresh token for new tokens."""
    return await call.app[SERVICE].refresh(call.body)


async def logout(call: Call[None, None]) -> None:
    """End the caller's session."""
    await call.app[SERVICE].logout(call.user)


async def session(call: Call[None, None]) -> Session:
    """The caller's session."""
    return await call.app[SERVICE].session(call.user)


async def me(call: Call[None, None]) -> Me:
    """The caller's own profile."""
    return await call.app[SERVICE].me(call.user)


async def update_me(call: Call[UpdateProfile, None]) -> Me:
    """Change the caller's profile."""
    return await call.app[SERVICE].update(call.user, call.body)


async def profile(call: Call[None, None]) -> User:
    """Anyone's profile."""
    return await call.app[SERVICE].profile(call.id("user_id"))


async def import_users(call: Call[ImportUsers, None]) -> Imported:
    """Add accounts, for the operator."""
    return await call.app[SERVICE].import_users(call.body)


_PUBLIC = Access.PUBLIC

ENDPOINTS = (
    endpoint(
        "POST",
        "/api/v1/auth/register",
        register,
        body=Register,
        returns=Registered,
        status=201,
        access=_PUBLIC,
    ),
    endpoint("POST", "/api/v1/auth/login", login, body=Login, returns=Tokens, access=_PUBLIC),
    endpoint("POST", "/api/v1/auth/refresh", refresh, body=Refresh, returns=Tokens, access=_PUBLIC),
    endpoint("POST", "/api/v1/auth/logout", logout),
    endpoint("GET", "/api/v1/auth/session", session, returns=Session),
    endpoint("GET", "/api/v1/users/me", me, returns=Me),
    endpoint("PATCH", "/api/v1/users/me", update_me, body=UpdateProfile, returns=Me),
    endpoint("GET", "/api/v1/users/{user_id}", profile, returns=User),
    endpoint(
        "POST",
        "/internal/import",
        import_users,
        body=ImportUsers,
        returns=Imported,
        access=Access.SERVICE,
        callers=("operator",),
    ),
)
