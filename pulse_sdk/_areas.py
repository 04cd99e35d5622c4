"""The areas of the API, as a client and its raw view have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    # Of one of functools pyright forgets what `Self` is: each area would be any client's.
    cached_property = property
    from typing import Self

    from pulse_sdk.resources.auth import Auth
    from pulse_sdk.resources.conversations import Conversations
    from pulse_sdk.resources.events import Events
    from pulse_sdk.resources.feed import Feed
    from pulse_sdk.resources.notifications import Notifications
    from pulse_sdk.resources.posts import Posts
    from pulse_sdk.resources.social import Social
    from pulse_sdk.resources.users import Users
else:
    from functools import cached_property


@dataclass(frozen=True, eq=False)
class Kind:
    """What the methods of the areas are like with one kind of client."""

    returns: Mapping[str, tuple[Any, bool]]
    """What they return the answer's model in (None: as it is) and whether that is awaited.

    By the client's method that takes the call.
    """


class Areas:
    """The areas, each imported when it is first used."""

    _kind: ClassVar[Kind]

    @cached_property
    def auth(self) -> Auth[Self]:
        """Registering, logging in and out."""
        from pulse_sdk.resources.auth import Auth

        return Auth(self)

    @cached_property
    def users(self) -> Users[Self]:
        """Profiles."""
        from pulse_sdk.resources.users import Users

        return Users(self)

    @cached_property
    def posts(self) -> Posts[Self]:
        """Posts, likes and comments."""
        from pulse_sdk.resources.posts import Posts

        return Posts(self)

    @cached_property
    def social(self) -> Social[Self]:
        """Who follows whom."""
        from pulse_sdk.resources.social import Social

        return Social(self)

    @cached_property
    def feed(self) -> Feed[Self]:
        """The home feed."""
        from pulse_sdk.resources.feed import Feed

        return Feed(self)

    @cached_property
    def conversations(self) -> Conversations[Self]:
        """Conversations and their messages."""
        from pulse_sdk.resources.conversations import Conversations

        return Conversations(self)

    @cached_property
    def notifications(self) -> Notifications[Self]:
        """What happened and concerns the caller."""
        from pulse_sdk.resources.notifications import Notifications

        return Notifications(self)

    @cached_property
    def events(self) -> Events[Self]:
        """Events that people attend."""
        from pulse_sdk.resources.events import Events

        return Events(self)
