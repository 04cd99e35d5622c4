"""Who is calling: users' access tokens and the tokens services show each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import jwt

from services.kit.errors import ServiceError
from services.kit.settings import Settings

SERVICE_ISSUER = "pulse-service"
SERVICE_TOKEN_SECONDS = 30
_VERIFIED_TOKENS = 10_000
_VERIFIED_SERVICE_TOKENS = 100
_CLOCK_SKEW_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Identity:
    """The user behind a request, and the log-in it belongs to."""

    user_id: UUID
    session_id: UUID
    expires_at: float
    """When its access token ends (Unix time)."""


def bearer(header: str | None) -> str:
    """The token of an `Authorization` header.

    Raises:
        ServiceError: 401, there is none.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError.unauthorized("token_missing", "Send an access token as Bearer.")
    return token.strip()


def user_verifier(settings: Settings) -> Callable[[str], Identity]:
    """Make the check of users' access tokens; a token's signature is verified once, then kept.

    The check raises ServiceError 401: `token_invalid` or `token_expired`.
    """
    key = settings.token_key.get_secret_value()

    @lru_cache(maxsize=_VERIFIED_TOKENS)
    def decode(token: str) -> Identity:
        claims = jwt.decode(
            token,
            key,
            algorithms=["HS256"],
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            leeway=_CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "sub", "sid"]},
        )
        return Identity(UUID(claims["sub"]), UUID(claims["sid"]), float(claims["exp"]))

    def verify(token: str) -> Identity:
        try:
            identity = decode(token)
        except jwt.ExpiredSignatureError:
            raise _expired() from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise ServiceError.unauthorized("token_invalid", "The token is not ours.") from None
        if identity.expires_at + _CLOCK_SKEW_SECONDS < time.time():
            raise _expired()
        return identity

    return verify


def _expired() -> ServiceError:
    return ServiceError.unauthorized("token_expired", "The access token has expired; refresh it.")


def service_token(settings: Settings, callee: str) -> str:
    """A token that shows this service to another, good for 30 s."""
    now = int(time.time())
    claims = {
        "iss": SERVICE_ISSUER,
        "sub": settings.name,
        "aud": callee,
        "iat": now,
        "exp": now + SERVICE_TOKEN_SECONDS,
    }
    return jwt.encode(claims, settings.service_key.get_secret_value(), algorithm="HS256")


def verify_service_token(settings: Settings, token: str, allowed: tuple[str, ...]) -> str:
    """The name of the calling service.

    Raises:
        ServiceError: 401 when the token is not good here, 403 when its bearer may not call this.
    """
    key = settings.service_key.get_secret_value()
    try:
        caller, expires_at = _service_claims(token, key, settings.name)
    except jwt.InvalidTokenError:
        raise _not_good() from None
    if expires_at + _CLOCK_SKEW_SECONDS < time.time():
        raise _not_good()
    if caller not in allowed:
        raise ServiceError.forbidden("caller_not_allowed", f"{caller} may not call this.")
    return caller


@lru_cache(maxsize=_VERIFIED_SERVICE_TOKENS)
def _service_claims(token: str, key: str, callee: str) -> tuple[str, float]:
    """Caller and end of a token; callers show each of theirs for many calls."""
    claims = jwt.decode(
        token,
        key,
        algorithms=["HS256"],
        issuer=SERVICE_ISSUER,
        audience=callee,
        leeway=_CLOCK_SKEW_SECONDS,
        options={"require": ["exp", "sub"]},
    )
    return str(claims["sub"]), float(claims["exp"])


def _not_good() -> ServiceError:
    return ServiceError.unauthorized("token_invalid", "The service token is not good.")
