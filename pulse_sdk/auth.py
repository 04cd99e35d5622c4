"""The tokens a client acts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulse_sdk._call import header_text

if TYPE_CHECKING:
    from pulse_sdk.contract.users import Tokens


class Credentials:
    """The access token of a client and, when there was a log-in, the refresh token.

    One object serves all calls of a client. Its `repr` says what there is and never shows it.
    """

    __slots__ = ("_access_token", "_refresh_token")

    def __init__(self, token: str | Tokens | None = None) -> None:
        self._access_token: str | None = None
        self._refresh_token: str | None = None
        if isinstance(token, str):
            self._access_token = header_text("token", token)
        elif token is not None:
            self.keep(token)

    @property
    def access_token(self) -> str | None:
        """What goes with each call."""
        return self._access_token

    @property
    def refresh_token(self) -> str | None:
        """What the next access token is had for; each works once."""
        return self._refresh_token

    def keep(self, tokens: Tokens) -> None:
        """Act with these tokens from now on."""
        self._access_token = header_text("token", tokens.access_token.get_secret_value())
        self._refresh_token = tokens.refresh_token.get_secret_value()

    def drop_refresh_token(self) -> None:
        """Forget a refresh token that the server no longer takes."""
        self._refresh_token = None

    def forget(self) -> None:
        """Act as nobody from now on."""
        self._access_token = self._refresh_token = None

    def can_replace(self, stale: str | None) -> bool:
        """Whether there is, or can be had, a newer access token than `stale`."""
        return stale is not None and (
            self._refresh_token is not None or self._access_token not in {stale, None}
        )

    def __repr__(self) -> str:
        held = [
            name
            for name, token in [
                ("access token", self._access_token),
                ("refresh token", self._refresh_token),
            ]
            if token is not None
        ]
        return f"<Credentials: {' and '.join(held) or 'none'}>"
