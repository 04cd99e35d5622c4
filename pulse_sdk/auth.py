"""The tokens a client acts with: where they come from, when they are renewed, how to store them.

A client acts with what a log-in brought (`Pulse.login`), with tokens that were stored, or with what
a `TokenSource` gives it:

    client = Pulse(url, token=Tokens.model_validate_json(stored), on_tokens=store)

It renews them before they expire and after the server refused them, once for all calls that wait
for it; a renewal whose answer got lost is repeated. Each refresh token is exchanged for the next
once: whoever stores tokens must store every new pair, which is what `on_tokens` is told, and two
clients cannot share one.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol, TypeAlias, runtime_checkable

from pydantic import SecretStr

import pulse_sdk
from pulse_sdk._call import header_text
from pulse_sdk.errors import InvalidInput

_MARGIN = 60.0
"""Seconds before its end at which an access token is renewed, or a fifth of its life if less."""
_AGAIN = 5.0
"""Seconds until the next try, when a token could not be renewed and is still taken."""


@runtime_checkable
class TokenSource(Protocol):
    """Gives a client its access tokens, in place of a log-in.

    It is asked before the first call, shortly before a token that says when it ends (a JWT with
    `exp`) does, and after the server refused one; never twice at the same time by one client. What
    it raises ends the call. `AsyncPulse` asks it in a thread, so that it may block.
    """

    def token(self, refused: str | None) -> str:
        """An access token.

        `refused` is the one that the server no longer takes; None when none was refused, and one
        that is at hand will do.
        """
        ...


@runtime_checkable
class AsyncTokenSource(Protocol):
    """The same for `AsyncPulse`, awaited."""

    async def token(self, refused: str | None) -> str:
        """An access token; see `TokenSource.token`."""
        ...


OnTokens: TypeAlias = Callable[["pulse_sdk.Tokens | None"], object]
"""Told each new pair of tokens before any call uses it, and None after a log-out."""

AsyncOnTokens: TypeAlias = Callable[["pulse_sdk.Tokens | None"], Awaitable[object] | object]
"""The same for `AsyncPulse`, which awaits what it returns."""


class Credentials:
    """The access token of a client and, when there was a log-in, the refresh token.

    One object serves all calls of a client. Its `repr` says what there is and never shows it.
    """

    __slots__ = ("_access_token", "_due_at", "_ends_at", "_pid", "_refresh_token", "source")

    def __init__(
        self, token: str | pulse_sdk.Tokens | TokenSource | AsyncTokenSource | None = None
    ) -> None:
        self._access_token: SecretStr | None = None
        self._refresh_token: SecretStr | None = None
        self._due_at = self._ends_at = math.inf
        self._pid = os.getpid()
        self.source: TokenSource | AsyncTokenSource | None = None
        if token is None:
            return
        from pulse_sdk.contract.users import Tokens

        if isinstance(token, str):
            self.keep_access(token)
        elif isinstance(token, Tokens):
            self._resume(token)
        elif isinstance(token, TokenSource):
            self.source = token
        else:
            raise InvalidInput.of("token", "must be a string, Tokens or a TokenSource")

    @property
    def access_token(self) -> SecretStr | None:
        """What goes with each call."""
        return self._access_token

    @property
    def refresh_token(self) -> SecretStr | None:
        """What the next access token is had for, once, in one process."""
        return None if self.forked else self._refresh_token

    @property
    def forked(self) -> bool:
        """Whether the refresh token belongs to the process that this one was forked from."""
        return self._refresh_token is not None and self._pid != os.getpid()

    @property
    def tokens(self) -> pulse_sdk.Tokens | None:
        """Both tokens and the seconds left, to be stored; None when there is no refresh token."""
        access, refresh = self._access_token, self.refresh_token
        if access is None or refresh is None:
            return None
        from pulse_sdk.contract.users import Tokens

        left = max(0, int(min(self._ends_at - time.monotonic(), 2**31)))
        return Tokens(access_token=access, refresh_token=refresh, expires_in=left)

    def keep(self, tokens: pulse_sdk.Tokens) -> None:
        """Act with these tokens, just received, from now on.

        Their end is measured from now on a monotonic clock, whatever this machine's says.
        """
        access = tokens.access_token.get_secret_value()
        self._act_with(access, tokens.expires_in, tokens.expires_in)
        self._refresh_token = tokens.refresh_token
        self._pid = os.getpid()
        self.source = None

    def keep_access(self, access_token: str) -> None:
        """Act with this access token from now on, until the end that it states itself."""
        left, life = _left(header_text("token", access_token))
        # One that seems over already, on a clock that may be wrong, is for the server to judge.
        self._act_with(access_token, left if left > 0 else math.inf, life)

    def _resume(self, tokens: pulse_sdk.Tokens) -> None:
        """Act with tokens that were stored a while ago."""
        access = tokens.access_token.get_secret_value()
        left, life = _left(access)
        self._act_with(access, min(left, life, tokens.expires_in), life)
        self._refresh_token = tokens.refresh_token
        self._pid = os.getpid()

    def _act_with(self, access_token: str, left: float, life: float) -> None:
        held = SecretStr(header_text("token", access_token))
        now = time.monotonic()
        self._ends_at = now + left
        self._due_at = self._ends_at - min(_MARGIN, life / 5)
        self._access_token = held

    def drop_refresh_token(self) -> None:
        """Forget a refresh token that the server no longer takes."""
        self._refresh_token = None

    def forget(self) -> None:
        """Act as nobody from now on."""
        self._access_token = self._refresh_token = self.source = None
        self._due_at = self._ends_at = math.inf

    def due(self) -> bool:
        """Whether it is time for a newer access token, and one can be had."""
        if self._access_token is None:
            return self.source is not None
        return time.monotonic() >= self._due_at and self._renewable()

    def put_off(self) -> None:
        """Try again a little later: this time there was no newer token to be had."""
        self._due_at = time.monotonic() + _AGAIN

    def can_replace(self, stale: SecretStr | None) -> bool:
        """Whether there is, or can be had, a newer access token than `stale`."""
        if stale is None:
            return False
        return self._renewable() or self._access_token not in {stale, None}

    def _renewable(self) -> bool:
        return self.source is not None or self.refresh_token is not None

    def __repr__(self) -> str:
        held = [
            name
            for name, token in [
                ("a token source", self.source),
                ("access token", self._access_token),
                ("refresh token", self._refresh_token),
            ]
            if token is not None
        ]
        return f"<Credentials: {' and '.join(held) or 'none'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials cannot be pickled; store client.tokens instead")


def _left(access_token: str) -> tuple[float, float]:
    """Seconds until a token's end by this machine's clock, and those of its whole life.

    Both are infinite when it does not say. Nothing is verified: that is the server's part, and a
    token that lies is refused and replaced.
    """
    claims = _claims(access_token)
    ends, begins = claims.get("exp"), claims.get("iat")
    if not isinstance(ends, int | float) or not math.isfinite(ends):
        return math.inf, math.inf
    left = ends - time.time()
    if not isinstance(begins, int | float) or not begins < ends:
        return left, max(left, 0.0)
    return left, ends - begins


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says; nothing when it is none."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
