"""Accounts, sessions and profiles of the fake."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from uuid import UUID

from pulse_sdk.contract import users as contract
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.contract.users import (
    ChangePassword,
    Login,
    Me,
    Refresh,
    Register,
    Registered,
    Tokens,
    UpdateProfile,
    User,
    UsersQuery,
)
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._world import ACCESS_SECONDS, REFRESH_SECONDS, Access, Session, World

_MOST_WRONG = 10
_WINDOW = timedelta(seconds=900)
_GRACE = timedelta(seconds=30)
"""How long a refresh token that was exchanged gives its successor again."""


def register(world: World, got: Received[Register, None]) -> Registered:
    """Make an account and log it in."""
    new = got.body
    for user in world.users.values():
        if user.email == new.email:
            raise Refusal.conflict("email_taken", "There is an account with this email.")
        if user.username == new.username:
            raise Refusal.conflict("username_taken", "This username is taken.")
    me = Me(
        id=world.new_id(),
        username=new.username,
        display_name=new.display_name,
        bio="",
        created_at=world.now(),
        email=new.email,
        version=1,
    )
    world.users[me.id] = me
    world.passwords[me.id] = new.password.get_secret_value()
    world.notify([me.id], "welcome", None)
    return Registered(user=_public(me), tokens=log_in(world, me.id, got))


def login(world: World, got: Received[Login, None]) -> Tokens:
    """Begin a session."""
    name = got.body.login.lower()
    user = next((u for u in world.users.values() if name in {u.email, u.username}), None)
    if not _right(world, user, name, got.body.password.get_secret_value()) or user is None:
        raise Refusal.unauthorized("credentials_wrong", "Login or password is wrong.")
    return log_in(world, user.id, got)


def log_in(world: World, user_id: UUID, got: Received[object, None] | None) -> Tokens:
    """A new session's tokens."""
    agent = "" if got is None else got.headers.get("User-Agent", "")
    now = world.now()
    session_id = world.new_id()
    token = _refresh_token(world, session_id)
    session = Session(session_id, user_id, token, "", now, now, agent)
    world.sessions[session_id] = session
    return _tokens(world, session)


def refresh(world: World, got: Received[Refresh, None]) -> Tokens:
    """Exchange a refresh token; one that was exchanged before ends its session.

    Just after the exchange it gives the same successor, for its answer may have got lost.
    """
    token, now = got.body.refresh_token.get_secret_value(), world.now()
    session = _session(world, token.partition(".")[0])
    if session is None:
        raise Refusal.unauthorized("refresh_token_invalid", "Log in again.")
    if session.refresh_token == token:
        session.refresh_token = _refresh_token(world, session.id)
        session.exchanged_token, session.used_at = token, now
    elif session.exchanged_token != token or session.used_at + _GRACE < now:
        del world.sessions[session.id]
        raise Refusal.unauthorized("refresh_token_invalid", "Log in again.")
    return _tokens(world, session)


def logout(world: World, got: Received[None, None]) -> None:
    """End the caller's session."""
    world.sessions.pop(got.session_id, None)


def change_password(world: World, got: Received[ChangePassword, None]) -> None:
    """Change the password and end the other sessions."""
    user = _logged_in(world, got)
    if not _right(world, user, user.username, got.body.current_password.get_secret_value()):
        raise Refusal.forbidden("password_wrong", "The current password is wrong.")
    world.passwords[user.id] = got.body.new_password.get_secret_value()
    _end_sessions(world, user.id, keep=got.session_id)


def session(world: World, got: Received[None, None]) -> contract.Session:
    """The caller's session."""
    found = _session(world, str(got.session_id))
    if found is None:
        raise Refusal.not_found("session")
    return _seen(found, got)


def sessions(world: World, got: Received[None, PageQuery]) -> Page[contract.Session]:
    """The caller's sessions, the newest first."""
    me = _logged_in(world, got)
    found = [_seen(s, got) for s in world.sessions.values() if s.user_id == me.id]
    return page(found, got.query, lambda s: str(s.id), newest_first=True)


def end_session(world: World, got: Received[None, None]) -> None:
    """End one of the caller's sessions."""
    session_id = got.id("session_id")
    _logged_in(world, got)
    found = world.sessions.get(session_id)
    if found is None or found.user_id != got.caller:
        raise Refusal.not_found("session")
    del world.sessions[found.id]


def end_sessions(world: World, got: Received[None, None]) -> None:
    """End all of the caller's sessions."""
    _end_sessions(world, _logged_in(world, got).id, keep=None)


def me(world: World, got: Received[None, None]) -> Me:
    """The caller's own profile."""
    return world.users[got.caller]


def update_me(world: World, got: Received[UpdateProfile, None]) -> Me:
    """Change the caller's profile."""
    me = world.users[got.caller]
    got.check_version("profile", me.version)
    changed = me.model_copy(update=got.body.model_dump(exclude_none=True))
    if changed != me:
        me = world.users[me.id] = changed.model_copy(update={"version": me.version + 1})
    return me


def profile(world: World, got: Received[None, None]) -> User:
    """Anyone's profile."""
    user = world.users.get(got.id("user_id"))
    if user is None:
        raise Refusal.not_found("user")
    return _public(user)


def search(world: World, got: Received[None, UsersQuery]) -> Page[User]:
    """People whose username begins so, then those who share half of its three-letter parts."""
    text = got.query.query
    parts = _trigrams(text)
    needed = max(2, (len(parts) + 1) // 2)
    ranked: dict[str, User] = {}
    for user in world.users.values():
        theirs = _trigrams(f"{user.username} {user.display_name}")
        common = len(parts & theirs)
        if user.username.startswith(text.lower()):
            ranked[f"0 {user.username} {user.id}"] = _public(user)
        elif common >= needed:
            ranked[f"1 {999 - common} {len(theirs):3} {user.username} {user.id}"] = _public(user)
    keys = {user.id: key for key, user in ranked.items()}
    return page(ranked.values(), got.query, lambda user: keys[user.id], newest_first=False)


def _trigrams(text: str) -> set[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", plain.lower())
    return {f"  {w} "[i : i + 3] for w in words for i in range(len(w) + 1)}


def _right(world: World, user: Me | None, name: str, password: str) -> bool:
    """Whether a password is right; too many wrong ones are refused for a while."""
    wrong = world.wrong_passwords[str(user.id) if user else name]
    now = world.now()
    wrong[:] = [] if wrong and wrong[0] + _WINDOW <= now else wrong
    if len(wrong) >= _MOST_WRONG:
        seconds = int((wrong[0] + _WINDOW - now).total_seconds()) + 1
        detail = "Too many wrong passwords; try again later."
        headers = {"Retry-After": str(seconds)}
        raise Refusal(429, "too_many_attempts", detail, headers=headers)
    right = user is not None and world.passwords[user.id] == password
    if right:
        wrong.clear()
    else:
        wrong.append(now)
    return right


def _refresh_token(world: World, session_id: UUID) -> str:
    return f"{session_id}.{world.new_id().hex}"


def _tokens(world: World, session: Session) -> Tokens:
    access_token = f"access.{world.new_id().hex}"
    expires_at = world.now() + timedelta(seconds=ACCESS_SECONDS)
    world.access[access_token] = Access(session.user_id, session.id, expires_at)
    return Tokens.model_validate(
        {
            "access_token": access_token,
            "refresh_token": session.refresh_token,
            "expires_in": ACCESS_SECONDS,
        }
    )


def _session(world: World, session_id: str) -> Session | None:
    """A session that has not ended."""
    found = next((s for s in world.sessions.values() if str(s.id) == session_id), None)
    if found is not None and _ends(found) <= world.now():
        del world.sessions[found.id]
        return None
    return found


def _logged_in(world: World, got: Received[object, object]) -> Me:
    if _session(world, str(got.session_id)) is None:
        raise Refusal.unauthorized("session_ended", "Log in again.")
    return world.users[got.caller]


def _end_sessions(world: World, user_id: UUID, keep: UUID | None) -> None:
    for found in list(world.sessions.values()):
        if found.user_id == user_id and found.id != keep:
            del world.sessions[found.id]


def _ends(session: Session) -> datetime:
    return session.used_at + timedelta(seconds=REFRESH_SECONDS)


def _seen(session: Session, got: Received[object, object]) -> contract.Session:
    return contract.Session(
        id=session.id,
        created_at=session.created_at,
        expires_at=_ends(session),
        last_used_at=session.used_at,
        current=session.id == got.session_id,
        address="127.0.0.1",
        user_agent=session.user_agent,
    )


def _public(me: Me) -> User:
    return User.model_validate(me.model_dump(exclude={"email", "version"}))


_AUTH = "/api/v1/auth"
_ME = "/api/v1/users/me"

ENDPOINTS = (
    Endpoint("POST", f"{_AUTH}/register", register, body=Register, status=201, public=True),
    Endpoint("POST", f"{_AUTH}/login", login, body=Login, public=True),
    Endpoint("POST", f"{_AUTH}/refresh", refresh, body=Refresh, public=True),
    Endpoint("POST", f"{_AUTH}/logout", logout),
    Endpoint("POST", f"{_AUTH}/password", change_password, body=ChangePassword),
    Endpoint("GET", f"{_AUTH}/session", session),
    Endpoint("GET", f"{_AUTH}/sessions", sessions, query=PageQuery),
    Endpoint("DELETE", f"{_AUTH}/sessions", end_sessions),
    Endpoint("DELETE", f"{_AUTH}/sessions/{{session_id}}", end_session),
    Endpoint("GET", _ME, me),
    Endpoint("PATCH", _ME, update_me, body=UpdateProfile),
    Endpoint("GET", "/api/v1/users", search, query=UsersQuery),
    Endpoint("GET", "/api/v1/users/{user_id}", profile),
)
