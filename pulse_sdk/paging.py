"""Lists, page after page.

A list method returns at once and asks the server only when it is used:

    for post in client.posts.list():            # every post, a page at a time
    for page in client.posts.list().pages():    # every page
    page = client.posts.list(limit=50, cursor=seen).page()   # one page, by hand

and with `AsyncPulse` the same with `async for` and `await`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from pulse_sdk._call import Call
from pulse_sdk.contract.common import Page
from pulse_sdk.errors import unreadable

Item = TypeVar("Item")
PageT_co = TypeVar("PageT_co", bound="Page[Any]", covariant=True)


class Listing(Generic[PageT_co]):
    """A list; each iteration starts anew. Its `limit` is the size of a page, not of the list."""

    def __init__(self, send: Callable[[Call[PageT_co]], PageT_co], call: Call[PageT_co]) -> None:
        self._send = send
        self._call = call

    def page(self) -> PageT_co:
        """Only the page that `limit` and `cursor` name; its `next_cursor` leads on."""
        return self._send(self._call)

    def pages(self) -> Iterator[PageT_co]:
        """The page that `cursor` names, the first without one, and all that follow."""
        call: Call[PageT_co] | None = self._call
        while call is not None:
            page = self._send(call)
            yield page
            call = _following(call, page)

    def __iter__(self: Listing[Page[Item]]) -> Iterator[Item]:
        for page in self.pages():
            yield from page.items

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_described(self._call)}>"


class AsyncListing(Generic[PageT_co]):
    """A list; each iteration starts anew. Its `limit` is the size of a page, not of the list."""

    def __init__(
        self,
        send: Callable[[Call[PageT_co]], Coroutine[Any, Any, PageT_co]],
        call: Call[PageT_co],
    ) -> None:
        self._send = send
        self._call = call

    async def page(self) -> PageT_co:
        """Only the page that `limit` and `cursor` name; its `next_cursor` leads on."""
        return await self._send(self._call)

    async def pages(self) -> AsyncIterator[PageT_co]:
        """The page that `cursor` names, the first without one, and all that follow."""
        call: Call[PageT_co] | None = self._call
        while call is not None:
            page = await self._send(call)
            yield page
            call = _following(call, page)

    async def __aiter__(self: AsyncListing[Page[Item]]) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in page.items:
                yield item

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_described(self._call)}>"


def _described(call: Call[Any]) -> str:
    query = ", ".join(f"{name}={value!r}" for name, value in call.query.items())
    return f"{call.operation}({query})"


def _following(call: Call[PageT_co], page: Page[Any]) -> Call[PageT_co] | None:
    if page.next_cursor is None:
        return None
    if page.next_cursor == call.query.get("cursor"):
        raise unreadable(200, {}, "its next_cursor is its own, which would never end", 1)
    return replace(call, query={**call.query, "cursor": page.next_cursor})
