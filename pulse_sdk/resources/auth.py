"""Accounts and sessions."""

from __future__ import annotations

from types import NoneType

from pydantic import SecretStr

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk._flow import refresh_call
from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.users import (
    ChangePassword,
    Login,
    Register,
    Registered,
    Session,
    Tokens,
)
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Auth(Resource[ClientT_co]):
    """Registering, logging in and out. The client acts with the tokens these calls bring."""

    @endpoint
    def register(
        self, *, email: str, username: str, password: str, display_name: str
    ) -> Call[Registered]:
        """Make an account and act as it from now on."""
        return Call(
            "POST",
            ("auth", "register"),
            Registered,
            body=Register(
                email=email, username=username, password=password, display_name=display_name
            ),
            authenticated=False,
            tokens=lambda registered: registered.tokens,
        )

    @endpoint
    def login(self, login: str, password: str) -> Call[Tokens]:
        """Log in with an email or a username and act as that account from now on."""
        return Call(
            "POST",
            ("auth", "login"),
            Tokens,
            body=Login(login=login, password=password),
            authenticated=False,
            tokens=lambda tokens: tokens,
        )

    @endpoint
    def refresh(self, refresh_token: str | SecretStr) -> Call[Tokens]:
        """Resume a session from a stored refresh token, which the new one takes the place of."""
        return refresh_call(refresh_token)

    @endpoint
    def logout(self) -> Call[None]:
        """End this session and forget its tokens."""
        return Call(
            "POST",
            ("auth", "logout"),
            NoneType,
            tokens=lambda _: None,
        )

    @endpoint
    def session(self) -> Call[Session]:
        """The session that the token belongs to."""
        return Call("GET", ("auth", "session"), Session)

    @listing
    def sessions(self, *, limit: int = 20, cursor: str | None = None) -> Call[Page[Session]]:
        """Where the account is logged in."""
        query = PageQuery(limit=limit, cursor=cursor)
        return Call("GET", ("auth", "sessions"), Page[Session], query_of(query))

    @endpoint
    def end_session(self, session_id: Id) -> Call[None]:
        """Log out one of the account's sessions."""
        return Call("DELETE", ("auth", "sessions", session_id), NoneType)

    @endpoint
    def logout_everywhere(self) -> Call[None]:
        """End all sessions of the account, this one too, and forget its tokens."""
        return Call(
            "DELETE",
            ("auth", "sessions"),
            NoneType,
            tokens=lambda _: None,
        )

    @endpoint
    def change_password(self, current_password: str, new_password: str) -> Call[None]:
        """Change the password, which ends all other sessions."""
        body = ChangePassword(current_password=current_password, new_password=new_password)
        return Call("POST", ("auth", "password"), NoneType, body=body)
