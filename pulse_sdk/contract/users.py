"""Accounts, log-in and profiles."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from pulse_sdk.contract.common import (
    PageQuery,
    RequestModel,
    ResponseModel,
    Secret,
    Text,
    Timestamp,
)

Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        to_lower=True,
        max_length=254,
        pattern=r"^[^@\s\x00]{1,64}@[^@\s\x00]+\.[^@\s\x00.]+$",
    ),
]
Username = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[a-zA-Z0-9_]{3,30}$"),
]
Password = Annotated[Secret, Field(min_length=8, max_length=128)]
DisplayName = Annotated[Text, Field(min_length=1, max_length=60)]
Bio = Annotated[Text, Field(max_length=300)]
Visibility = Literal["public", "private"]
"""Who may read an account's posts: anyone, or its followers alone. Names are always public."""


class Register(RequestModel):
    """A new account. Email and username are unique, whatever their case."""

    email: Email
    username: Username
    password: Password
    display_name: DisplayName


class Login(RequestModel):
    """Credentials; `login` is the email or the username."""

    login: Annotated[Text, Field(min_length=1, max_length=254)]
    password: Annotated[Secret, Field(max_length=128)]


class Refresh(RequestModel):
    """A refresh token to be exchanged.

    Each is exchanged once: sent again within half a minute it gives the same new one, for the
    answer may have got lost; later, or after the new one was used, it ends the session.
    """

    refresh_token: Annotated[Secret, Field(max_length=200)]


class Tokens(ResponseModel):
    """What a log-in gives. Refresh with `refresh_token` before `expires_in` seconds pass."""

    access_token: Secret
    refresh_token: Secret
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name, not a secret
    expires_in: int


class ChangePassword(RequestModel):
    """A new password, and the one that it replaces."""

    current_password: Annotated[Secret, Field(max_length=128)]
    new_password: Password


class Session(ResponseModel):
    """One log-in of an account."""

    id: UUID
    created_at: Timestamp
    expires_at: Timestamp
    """When it ends unless it is refreshed before."""
    last_used_at: Timestamp
    """When it began or was last refreshed."""
    current: bool
    """Whether it is the one that asks."""
    address: str | None = None
    """The address it was begun from."""
    user_agent: str | None = None
    """What the program that began it calls itself."""


class User(ResponseModel):
    """A profile as anyone may see it."""

    id: UUID
    username: str
    display_name: str
    bio: str
    created_at: Timestamp
    visibility: Visibility | str = "public"


class Me(User):
    """The caller's own profile."""

    email: str
    version: int
    """Grows with every change; as an `ETag` it also guards one (`If-Match`)."""


class Registered(ResponseModel):
    """A new account and its first session."""

    user: User
    tokens: Tokens


class UpdateProfile(RequestModel):
    """The fields to change; those left out stay."""

    display_name: DisplayName | None = None
    bio: Bio | None = None
    visibility: Visibility | None = None


class UsersQuery(PageQuery):
    """People whose name is sought: by the beginning of the username, then by similar names."""

    query: Annotated[Text, Field(min_length=1, max_length=60)]
