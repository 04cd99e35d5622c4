"""Log-ins: sessions in Redis, access tokens (JWT) and refresh tokens that are exchanged once.

A session that was ended cannot be refreshed from that moment on; its access token, which services
believe without asking, lives out its short life (`access_ttl_seconds`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import jwt
from redis.asyncio import Redis

from pulse_sdk.contract.users import Session, Tokens
from services.kit.auth import Identity
from services.kit.cache import FAILURES
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.settings import Settings
from services.users.scripts import CLOSE, CLOSE_ALL, OPEN, ROTATE

MAX_SESSIONS = 100
"""Most sessions of one person; one more ends the longest unused."""

GRACE_SECONDS = 30
"""How long a refresh token that was exchanged gives its successor again, as long as that one was
not used: the answer may have got lost on its way, which clients see after 10 seconds or so.
"""

_REDIS_SECONDS = 2.0
_FIELDS = ("user_id", "epoch", "created_at", "used_at", "address", "user_agent")


class Client(NamedTuple):
    """Where a request comes from."""

    address: str
    """An IP address."""
    user_agent: str


class Begun(NamedTuple):
    """A session that exists."""

    id: UUID
    user_id: UUID
    epoch: int
    """That of its account when it began."""
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None

    def seen_by(self, caller: Identity) -> Session:
        """The session as its owner sees it."""
        return Session(
            id=self.id,
            created_at=self.created_at,
            expires_at=self.expires_at,
            last_used_at=self.last_used_at,
            current=self.id == caller.session_id,
            address=self.address,
            user_agent=self.user_agent,
        )


class Sessions:
    """Sessions live in Redis; every method raises ServiceError 503 when it is away."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._key = settings.token_key.get_secret_value()
        self._open = redis.register_script(OPEN)
        self._rotate = redis.register_script(ROTATE)
        self._close = redis.register_script(CLOSE)
        self._close_all = redis.register_script(CLOSE_ALL)

    async def open(self, user_id: UUID, epoch: int, client: Client) -> Tokens:
        """Begin a session."""
        session_id = new_id()
        refresh = secrets.token_urlsafe(32)
        args: list[str | int | float] = [str(user_id), _digest(refresh), epoch, time.time()]
        args += [self._settings.refresh_ttl_seconds, client.address, client.user_agent]
        args += [str(session_id), MAX_SESSIONS]
        await answered(self._open(keys=[_key(session_id), _index(user_id)], args=args))
        return self._tokens(user_id, session_id, refresh)

    async def of_token(self, token: str) -> Begun | None:
        """The session that a refresh token claims to be of."""
        try:
            session_id = UUID(token.partition(".")[0])
        except ValueError:
            return None
        return await self.get(session_id)

    async def refresh(self, session: Begun, token: str) -> Tokens | None:
        """Exchange a refresh token of a session; None when it is not good.

        One that was exchanged before gives the same successor for a short while; after it, or once
        the successor was used, it ends the session.
        """
        used = token.partition(".")[2]
        refresh = self._successor(session.id, used)
        args: list[str | float] = [_digest(used), _digest(refresh), time.time()]
        args += [self._settings.refresh_ttl_seconds, str(session.id), GRACE_SECONDS]
        if not await answered(self._rotate(keys=[_key(session.id)], args=args)):
            return None
        return self._tokens(session.user_id, session.id, refresh)

    async def close(self, user_id: UUID, session_id: UUID) -> bool:
        """End a session of this person; whether there was one."""
        keys = [_key(session_id), _index(user_id)]
        return bool(await answered(self._close(keys=keys, args=[str(user_id), str(session_id)])))

    async def close_all(self, user_id: UUID, *, keep: UUID | None = None, epoch: int = 0) -> None:
        """End a person's sessions but the one to keep, which passes into the new epoch."""
        await answered(self._close_all(keys=[_index(user_id)], args=[str(keep or ""), epoch]))

    async def get(self, session_id: UUID) -> Begun | None:
        """A session that exists."""
        found = await self._load([session_id])
        return found[0] if found else None

    async def of_user(self, user_id: UUID) -> list[Begun]:
        """A person's sessions, the newest first."""
        members = cast("list[bytes]", await answered(self._redis.zrange(_index(user_id), 0, -1)))
        return await self._load(sorted((UUID(m.decode()) for m in members), reverse=True))

    async def _load(self, ids: list[UUID]) -> list[Begun]:
        if not ids:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for session_id in ids:
            pipe.hmget(_key(session_id), _FIELDS)
        told = cast("list[Any]", await answered(pipe.execute()))
        return [
            self._begun(session_id, *fields)
            for session_id, fields in zip(ids, told, strict=True)
            if fields[0] is not None
        ]

    def _begun(
        self,
        session_id: UUID,
        user_id: bytes,
        epoch: bytes | None,
        created_at: bytes,
        used_at: bytes | None,
        address: bytes | None,
        user_agent: bytes | None,
    ) -> Begun:
        """A session as Redis has it; what is None, sessions begun by an earlier version lack."""
        last_used_at = datetime.fromtimestamp(float(used_at or created_at), UTC)
        return Begun(
            id=session_id,
            user_id=UUID(user_id.decode()),
            epoch=int(epoch or 0),
            created_at=datetime.fromtimestamp(float(created_at), UTC),
            last_used_at=last_used_at,
            expires_at=last_used_at + timedelta(seconds=self._settings.refresh_ttl_seconds),
            address=address.decode() if address else None,
            user_agent=user_agent.decode() if user_agent else None,
        )

    def _successor(self, session_id: UUID, used: str) -> str:
        """The refresh token after this one: derived, so that it can be told again, not stored."""
        # No JWT, which the key signs as well, begins like this.
        text = f"refresh {session_id} {used}"
        derived = hmac.digest(self._key.encode(), text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(derived).decode().rstrip("=")

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


def _index(user_id: UUID) -> str:
    return f"users:sessions:{user_id}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def answered(command: Awaitable[object]) -> object:
    """Redis' answer.

    Raises:
        ServiceError: 503, there was none in time.
    """
    try:
        async with asyncio.timeout(_REDIS_SECONDS):
            return await command
    except FAILURES as error:
        raise ServiceError.unavailable("session_store") from error
