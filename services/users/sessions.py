"""Log-ins: sessions in Redis, access tokens (JWT) and refresh tokens that work once."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import jwt
from redis.asyncio import Redis

from pulse_sdk.contract.users import Session, Tokens
from services.kit.auth import Identity
from services.kit.cache import FAILURES
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.settings import Settings

_REDIS_SECONDS = 2.0

# Exchange a refresh token for the next. One that was used before ends its session: it was copied.
_ROTATE = """
local session = redis.call('HMGET', KEYS[1], 'user_id', 'refresh')
if not session[1] then return false end
if session[2] ~= ARGV[1] then
    redis.call('DEL', KEYS[1])
    return false
end
redis.call('HSET', KEYS[1], 'refresh', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return session[1]
"""


class Sessions:
    """Sessions live in Redis; every method raises ServiceError 503 when it is away."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._key = settings.token_key.get_secret_value()
        self._rotate = redis.register_script(_ROTATE)

    async def open(self, user_id: UUID) -> Tokens:
        """Begin a session."""
        session_id = new_id()
        refresh = secrets.token_urlsafe(32)
        key = _key(session_id)
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(
            key,
            mapping={
                "user_id": str(user_id),
                "refresh": _digest(refresh),
                "created_at": str(time.time()),
            },
        )
        pipe.expire(key, self._settings.refresh_ttl_seconds)
        await _answer(pipe.execute())
        return self._tokens(user_id, session_id, refresh)

    async def refresh(self, token: str) -> Tokens:
        """Exchange a refresh token.

        Raises:
            ServiceError: 401, it is not good, or was used before, which ends its session.
        """
        session, _, used = token.partition(".")
        try:
            session_id = UUID(session)
        except ValueError:
            raise _refresh_invalid() from None
        refresh = secrets.token_urlsafe(32)
        user_id = await _answer(
            self._rotate(
                keys=[_key(session_id)],
                args=[_digest(used), _digest(refresh), self._settings.refresh_ttl_seconds],
            )
        )
        if not user_id:
            raise _refresh_invalid()
        return self._tokens(UUID(cast(bytes, user_id).decode()), session_id, refresh)

    async def close(self, session_id: UUID) -> None:
        """End a session: it cannot be refreshed; its access token lives out its short life."""
        await _answer(self._redis.delete(_key(session_id)))

    async def current(self, identity: Identity) -> Session:
        """The session a request belongs to.

        Raises:
            ServiceError: 404, it has ended.
        """
        key = _key(identity.session_id)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hget(key, "created_at")
        pipe.ttl(key)
        created, remaining = cast("tuple[bytes | None, int]", await _answer(pipe.execute()))
        if created is None:
            raise ServiceError.not_found("session")
        return Session(
            id=identity.session_id,
            created_at=datetime.fromtimestamp(float(created), UTC),
            expires_at=datetime.fromtimestamp(time.time() + remaining, UTC),
        )

    def _tokens(self, user_id: UUID, session_id: UUID, refresh: str) -> Tokens:
        now = int(time.time())
        claims = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "exp": now + self._settings.access_ttl_seconds,
        }
        return Tokens.model_validate(
            {
                "access_token": jwt.encode(claims, self._key, algorithm="HS256"),
                "refresh_token": f"{session_id}.{refresh}",
                "expires_in": self._settings.access_ttl_seconds,
            }
        )


def _key(session_id: UUID) -> str:
    return f"users:session:{session_id}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _refresh_invalid() -> ServiceError:
    return ServiceError.unauthorized("refresh_token_invalid", "Log in again.")


async def _answer(command: Awaitable[object]) -> object:
    try:
        async with asyncio.timeout(_REDIS_SECONDS):
            return await command
    except FAILURES as error:
        raise ServiceError.unavailable("session_store") from error
