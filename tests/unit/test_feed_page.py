"""What a page of the feed makes of the posts service's answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest

from pulse_sdk.contract.common import PageQuery
from pulse_sdk.contract.internal import PostBatch
from pulse_sdk.contract.posts import Post
from pulse_sdk.contract.social import FeedPage
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.paging import id_cursor
from services.kit.peers import Peers
from services.social.feed import Feed
from services.social.feed_store import FeedStore
from services.social.store import SocialStore
from services.social.timelines import Below, Part, Parts, Timelines


class Around:
    """The timelines, the follows and the posts service, as far as a page needs them."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.private: list[UUID] = []
        self.following: set[UUID] = set()
        self.batch: bytes | None = None
        """What posts answers; None when it is away."""

    def write(self, author: UUID, *, private: bool = False) -> Post:
        """A post in the reader's timeline."""
        post = Post(
            id=new_id(),
            author_id=author,
            text="Hello",
            like_count=0,
            comment_count=0,
            created_at=datetime.now(UTC),
        )
        self.posts.insert(0, post)
        if private:
            self.private.append(author)
        batch = PostBatch(items=self.posts, private_author_ids=self.private)
        self.batch = batch.model_dump_json().encode()
        return post

    async def read(self, _: UUID, __: str | None, count: int) -> Parts:
        return Parts(Part([str(post.id) for post in self.posts][:count], Below.MORE), {})

    async def followed(self, _: UUID, authors: Collection[UUID]) -> set[UUID]:
        return self.following & set(authors)

    async def call(self, _: str, __: str, read: Callable[[bytes], object], **___: object) -> object:
        if self.batch is None:
            raise ServiceError.unavailable("posts")
        return read(self.batch)

    async def page(self, limit: int = 20) -> FeedPage:
        """The page, read as its reader would."""
        feed = Feed(
            cast("FeedStore", None),
            cast("SocialStore", self),
            cast("Timelines", self),
            cast("Peers", self),
        )
        return FeedPage.model_validate_json(await feed.page(new_id(), PageQuery(limit=limit)))


@pytest.fixture
def around() -> Around:
    return Around()


async def test_posts_of_public_authors_are_passed_on(around: Around) -> None:
    posts = [around.write(new_id()) for _ in range(3)]
    assert await around.page() == FeedPage(items=posts[::-1])


async def test_the_cursor_is_the_last_id_of_the_page(around: Around) -> None:
    posts = [around.write(new_id()) for _ in range(3)]
    page = await around.page(limit=2)
    assert id_cursor(page.next_cursor) == posts[1].id


async def test_private_authors_posts_are_for_their_followers(around: Around) -> None:
    friend, stranger = new_id(), new_id()
    around.following = {friend}
    public = around.write(new_id())
    seen = around.write(friend, private=True)
    around.write(stranger, private=True)
    assert await around.page() == FeedPage(items=[seen, public])


async def test_without_bodies_the_page_says_so_and_still_goes_on(around: Around) -> None:
    posts = [around.write(new_id()) for _ in range(2)]
    around.batch = None
    page = await around.page(limit=1)
    assert (page.items, page.degraded) == ([], True)
    assert id_cursor(page.next_cursor) == posts[1].id
