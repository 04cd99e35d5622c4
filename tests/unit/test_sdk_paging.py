"""Lists, page after page, on the blocking and the asynchronous client alike."""

from __future__ import annotations

import httpx
import pytest

from pulse_sdk import UnreadableAnswer
from tests.unit.sdk_support import ID, POST, Caller, Server


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def paged(request: httpx.Request) -> httpx.Response:
    """Three pages of two, one and no posts."""
    pages: dict[str | None, tuple[int, str | None]] = {
        None: (2, "b"),
        "b": (1, "c"),
        "c": (0, None),
    }
    count, following = pages[request.url.params.get("cursor")]
    return httpx.Response(200, json={"items": [POST] * count, "next_cursor": following})


async def test_a_list_yields_items_or_pages_over_all_pages(caller: Caller) -> None:
    listing = caller.client(paged).posts.list(limit=2)
    assert len(await caller.items(listing)) == 3
    assert [len(page.items) for page in await caller.items(listing.pages())] == [2, 1, 0]


async def test_limit_and_cursor_work_by_hand(caller: Caller) -> None:
    client = caller.client(paged)
    page = await caller.do(client.posts.list(limit=1, author_id=ID, cursor="b").page())
    assert (len(page.items), page.next_cursor) == (1, "c")


async def test_every_page_is_asked_for_with_the_same_filter(caller: Caller) -> None:
    seen: list[dict[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        return paged(request)

    await caller.items(caller.client(handler).posts.list(author_id=ID, limit=7))
    assert [query.pop("cursor", None) for query in seen] == [None, "b", "c"]
    assert seen == [{"author_id": ID, "limit": "7"}] * 3


async def test_a_feed_page_says_that_it_is_degraded(caller: Caller) -> None:
    server = Server(httpx.Response(200, json={"items": [], "degraded": True}))
    page = await caller.do(caller.client(server).feed.list().page())
    assert page.degraded


async def test_a_list_that_leads_back_to_itself_ends_with_an_error(caller: Caller) -> None:
    server = Server(httpx.Response(200, json={"items": [POST], "next_cursor": "x"}))
    with pytest.raises(UnreadableAnswer, match="never end"):
        await caller.items(caller.client(server).posts.list())
    assert len(server.requests) == 2
