"""Profiles."""

from __future__ import annotations

from pulse_sdk._call import Call, Id
from pulse_sdk.contract.users import Me, UpdateProfile, User
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint


class Users(Resource[ClientT_co]):
    """Profiles."""

    @endpoint
    def me(self) -> Call[Me]:
        """The caller's own profile."""
        return Call("GET", ("users", "me"), Me)

    @endpoint
    def update_me(self, *, display_name: str | None = None, bio: str | None = None) -> Call[Me]:
        """Change what is given of the caller's profile; the rest stays."""
        return Call(
            "PATCH", ("users", "me"), Me, body=UpdateProfile(display_name=display_name, bio=bio)
        )

    @endpoint
    def get(self, user_id: Id) -> Call[User]:
        """Anyone's profile."""
        return Call("GET", ("users", user_id), User)
