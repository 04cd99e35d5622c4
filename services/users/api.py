"""HTTP endpoints of the users service."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import web

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
from services.kit.http import Access, Call, Encoded, endpoint
from services.users.service import UsersService
from services.users.sessions import Client

SERVICE = web.AppKey("service", UsersService)

_USER_AGENT_CHARACTERS = 200


async def register(call: Call[Register, None]) -> Registered:
    """Make an account and log it in."""
    return await call.app[SERVICE].register(call.body, _client(call.request))


async def login(call: Call[Login, None]) -> Tokens:
    """Begin a session."""
    return await call.app[SERVICE].login(call.body, _client(call.request))


async def refresh(call: Call[Refresh, None]) -> Tokens:
    """Exchange a refresh token for new tokens."""
    return await call.app[SERVICE].refresh(call.body)


async def logout(call: Call[None, None]) -> None:
    """End the caller's session."""
    await call.app[SERVICE].logout(call.user)


async def change_password(call: Call[ChangePassword, None]) -> None:
    """Change the caller's password, which ends the other sessions."""
    await call.app[SERVICE].change_password(call.user, call.body, _client(call.request))


async def session(call: Call[None, None]) -> Session:
    """The caller's session."""
    return await call.app[SERVICE].session(call.user)


async def sessions(call: Call[None, PageQuery]) -> Page[Session]:
    """All sessions of the caller."""
    return await call.app[SERVICE].sessions(call.user, call.query)


async def end_session(call: Call[None, None]) -> None:
    """End one session of the caller."""
    await call.app[SERVICE].end_session(call.user, call.id("session_id"))


async def end_sessions(call: Call[None, None]) -> None:
    """End all sessions of the caller."""
    await call.app[SERVICE].end_sessions(call.user)


async def me(call: Call[None, None]) -> Me:
    """The caller's own profile."""
    return await call.app[SERVICE].me(call.user)


async def update_me(call: Call[UpdateProfile, None]) -> Me:
    """Change the caller's profile."""
    return await call.app[SERVICE].update(call.user, call.body, call.if_match)


async def profile(call: Call[None, None]) -> Encoded[User]:
    """Anyone's profile."""
    return Encoded(await call.app[SERVICE].profile(call.id("user_id")))


async def search(call: Call[None, UsersQuery]) -> Page[User]:
    """People by name."""
    return await call.app[SERVICE].search(call.query)


async def batch(call: Call[UsersByIds, None]) -> UserBatch:
    """Several profiles, for other services."""
    return await call.app[SERVICE].batch(call.body)


async def import_users(call: Call[ImportUsers, None]) -> Imported:
    """Add accounts, for the operator."""
    return await call.app[SERVICE].import_users(call.body)


def _client(request: web.Request) -> Client:
    """Where a request comes from, as the gateway saw it.

    It drops what its clients claim to be and appends the peer it talks to; instances are reached
    through it alone. Without it (on a developer's machine) the peer is the client.
    """
    forwarded = request.headers.getall("X-Forwarded-For", [""])[-1].rpartition(",")[2].strip()
    try:
        address = str(ip_address(forwarded))
    except ValueError:
        address = request.remote or "0.0.0.0"  # noqa: S104 - nobody listens there
    agent = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
    return Client(address, agent[:_USER_AGENT_CHARACTERS])


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
    endpoint("POST", "/api/v1/auth/password", change_password, body=ChangePassword),
    endpoint("GET", "/api/v1/auth/session", session, returns=Session),
    endpoint("GET", "/api/v1/auth/sessions", sessions, query=PageQuery, returns=Page[Session]),
    endpoint("DELETE", "/api/v1/auth/sessions", end_sessions),
    endpoint("DELETE", "/api/v1/auth/sessions/{session_id}", end_session),
    endpoint("GET", "/api/v1/users/me", me, returns=Me),
    endpoint("PATCH", "/api/v1/users/me", update_me, body=UpdateProfile, returns=Me),
    endpoint("GET", "/api/v1/users", search, query=UsersQuery, returns=Page[User]),
    endpoint("GET", "/api/v1/users/{user_id}", profile, returns=User),
    endpoint(
        "POST",
        "/internal/users/batch",
        batch,
        body=UsersByIds,
        returns=UserBatch,
        access=Access.SERVICE,
        callers=("posts",),
    ),
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
