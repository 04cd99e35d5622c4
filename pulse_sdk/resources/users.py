"""Profiles."""

from __future__ import annotations

from pulse_sdk._call import Call, Id, query_of
from pulse_sdk.contract.common import Page
from pulse_sdk.contract.users import Me, UpdateProfile, User, UsersQuery, Visibility
from pulse_sdk.resources._base import ClientT_co, Resource, endpoint, listing


class Users(Resource[ClientT_co]):
    """Profiles."""

    @endpoint
    def me(self) -> Call[Me]:
        """The caller's own profile."""
        return Call("GET", ("users", "me"), Me)

    @endpoint
    def update_me(
        self,
        *,
        display_name: str | None = None,
        bio: str | None = None,
        visibility: Visibility | None = None,
        version: int | None = None,
    ) -> Call[Me]:
        """Change what is given of the caller's profile; the rest stays.

        With the `version` that was read, a profile that has changed since is left alone: Conflict.
        """
        body = UpdateProfile(display_name=display_name, bio=bio, visibility=visibility)
        return Call("PATCH", ("users", "me"), Me, body=body, version=version)

    @endpoint
    def get(self, user_id: Id) -> Call[User]:
        """Anyone's profile."""
        return Call("GET", ("users", user_id), User)

    @listing
    def search(self, query: str, *, limit: int = 20, cursor: str | None = None) -> Call[Page[User]]:
        """People whose username begins like `query`, then those with similar names, best first."""
        wanted = UsersQuery(query=query, limit=limit, cursor=cursor)
        return Call("GET", ("users",), Page[User], query_of(wanted))
