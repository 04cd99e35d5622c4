"""What is acknowledged stays, whichever process is killed: people write, a process dies, we count.

These tests have a stack of their own, since they kill it piece by piece.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import httpx
import psutil
import pytest

from pulse_sdk import AsyncPulse
from pulse_sdk._flow import bearer
from pulse_sdk.breaker import State
from pulse_sdk.contract.users import User
from pulse_sdk.errors import PulseError
from tests.conftest import RunningStack, running
from tests.e2e.conftest import PASSWORD, eventually
from tests.metrics import counted

pytestmark = pytest.mark.timeout(900)

PAIRS = 4
PAUSE_SECONDS = 0.1
WRITES = 8
"""What each author writes and sends, all acknowledged, before the next process is killed."""
SETTLE_SECONDS = 180.0
RECOVERY_SECONDS = 180.0
CALLS = 100


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that may be killed."""
    with running(tmp_path_factory.mktemp("frail")) as stack:
        yield stack


def _pid(stack: RunningStack, component: str) -> int:
    listed = json.loads(stack.pulse("status", "--json").stdout)["components"]
    (pid,) = (one["pid"] for one in listed if one["name"] == component)
    return int(pid)


def _kill(stack: RunningStack, component: str) -> None:
    """Kill a component's process with all that it started, as a machine that fails would."""
    process = psutil.Process(_pid(stack, component))
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it may be on its way out already
            one.kill()


@dataclass
class Pair:
    """An author who posts and writes to a reader, and the reader, who follows the author."""

    author: AsyncPulse
    reader: AsyncPulse
    author_user: User
    reader_user: User
    conversation_id: uuid.UUID
    posted: dict[str, uuid.UUID] = field(default_factory=dict)
    """Posts that were acknowledged, by their text."""
    sent: dict[str, uuid.UUID] = field(default_factory=dict)
    tried: int = 0
    failure: PulseError | None = None
    """The latest."""

    async def write(self, until: asyncio.Event) -> None:
        """Post and send in turn, each with a key of its own, and go on whatever fails."""
        while not until.is_set():
            self.tried += 1
            text = f"{self.author_user.username}-{self.tried}"
            try:
                post = await self.author.posts.create(text, idempotency_key=f"post-{text}")
                assert self.posted.setdefault(text, post.id) == post.id
                message = await self.author.conversations.send(
                    self.conversation_id, text, idempotency_key=f"message-{text}"
                )
                self.sent[text] = message.id
            except PulseError as error:  # not acknowledged: may be there or not, but not twice
                self.failure = error
            await asyncio.sleep(PAUSE_SECONDS)

    async def posts(self) -> list[str]:
        """What the author has posted."""
        listing = self.author.posts.list(author_id=self.author_user.id, limit=100)
        return [post.text async for post in listing]

    async def feed(self) -> list[str]:
        """What the reader reads."""
        return [post.text async for post in self.reader.feed.list(limit=100)]

    async def messages(self) -> Counter[str]:
        """What the reader was sent."""
        listing = self.reader.conversations.messages(self.conversation_id, limit=100)
        return Counter([message.text async for message in listing])

    async def message_ids(self) -> list[str]:
        """The ids of the messages that the reader was sent."""
        listing = self.reader.conversations.messages(self.conversation_id, limit=100)
        return sorted([str(message.id) async for message in listing])

    async def notified(self) -> list[str]:
        """The ids of the messages that the reader was told of."""
        return sorted(
            [
                str(notice.subject["message_id"])
                async for notice in self.reader.notifications.list(limit=100)
                if notice.kind == "message"
            ]
        )


async def _person(url: str, clients: AsyncExitStack) -> tuple[AsyncPulse, User]:
    pulse = await clients.enter_async_context(AsyncPulse(url))
    username = f"p{uuid.uuid4().hex[:12]}"
    registered = await pulse.auth.register(
        email=f"{username}@people.example",
        username=username,
        password=PASSWORD,
        display_name=username,
    )
    return pulse, registered.user


@pytest.fixture
async def pairs(frail: RunningStack) -> AsyncIterator[list[Pair]]:
    async with AsyncExitStack() as clients:
        made: list[Pair] = []
        for _ in range(PAIRS):
            author, author_user = await _person(frail.gateway_url, clients)
            reader, reader_user = await _person(frail.gateway_url, clients)
            await reader.social.follow(author_user.id)
            conversation = await author.conversations.open([reader_user.id])
            made.append(Pair(author, reader, author_user, reader_user, conversation.id))
        yield made


async def _recovered(pairs: list[Pair]) -> None:
    """Wait until everybody's writes are acknowledged again, and several have been."""
    enough = [len(pair.sent) + WRITES for pair in pairs]
    deadline = time.monotonic() + RECOVERY_SECONDS
    while any(len(pair.sent) < count for pair, count in zip(pairs, enough, strict=True)):
        assert time.monotonic() < deadline, [pair.failure for pair in pairs]
        await asyncio.sleep(0.1)


async def test_nothing_acknowledged_is_lost_whichever_process_is_killed(
    frail: RunningStack, pairs: list[Pair]
) -> None:
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for pair in pairs:
            tasks.create_task(pair.write(enough))
        for component in (
            *("posts-0", "social-0", "messaging-0", "notifications-0"),
            *("redis", "rabbitmq", "postgres"),
        ):
            await _recovered(pairs)
            await asyncio.to_thread(_kill, frail, component)
        await _recovered(pairs)
        enough.set()

    for pair in pairs:
        await _settled(pair)


async def _settled(pair: Pair) -> None:
    """Count, when all that was written has had its effects."""
    posts, messages = await pair.posts(), await pair.messages()
    assert max(Counter(posts).values()) == 1, "a post was made twice"
    assert max(messages.values()) == 1, "a message was sent twice"
    assert set(pair.posted) <= set(posts), "an acknowledged post is lost"
    assert set(pair.sent) <= set(messages), "an acknowledged message is lost"
    await eventually(pair.feed, lambda read: read == posts, SETTLE_SECONDS)
    ids = await pair.message_ids()
    await eventually(pair.notified, lambda told: told == ids, SETTLE_SECONDS)


async def test_without_redis_all_is_answered_and_says_so(
    frail: RunningStack, pairs: list[Pair]
) -> None:
    pair = pairs[0]
    await pair.author.posts.create("Hello")
    await eventually(pair.feed, lambda read: read == ["Hello"])
    hung = _pid(frail, "redis")
    os.kill(hung, signal.SIGSTOP)
    try:
        assert await pair.feed() == ["Hello"]
        headers = bearer(pair.reader.credentials.access_token)
        async with httpx.AsyncClient(
            base_url=frail.gateway_url, headers=headers, timeout=60
        ) as client:
            answer = await client.get("/api/v1/feed")
        assert answer.status_code == 200
        assert "timelines" in answer.headers["X-Degraded"]
        assert len(answer.json()["items"]) == 1
    finally:
        os.kill(hung, signal.SIGCONT)


async def test_the_feed_does_not_wait_for_posts_that_hang_and_then_asks_them_no_more(
    frail: RunningStack, pairs: list[Pair]
) -> None:
    pair = pairs[0]
    social = f"http://127.0.0.1:{frail.stack.services.social.port}"
    posts = {"callee": "posts"}
    await pair.author.posts.create("Hello")
    await eventually(pair.feed, lambda read: read == ["Hello"])
    hung = _pid(frail, "posts-0")
    os.kill(hung, signal.SIGSTOP)
    try:

        async def answered() -> None:
            page = await pair.reader.feed.list().page()
            assert page.degraded
            assert page.items == []

        async def asked() -> float:
            """How many calls to posts were made, whatever came of them."""
            calls = await counted(social, "peer_calls_total", **posts)
            return calls - await counted(social, "peer_calls_total", outcome="open", **posts)

        async def answered_without_asking() -> bool:
            before = await asked()
            await answered()
            return await asked() == before

        # More than went well before, so that they open the breaker.
        await asyncio.gather(*(answered() for _ in range(CALLS)))
        # Now and then the breaker lets one call see whether posts are back.
        await eventually(answered_without_asking, bool)
        assert await counted(social, "circuit_breaker_state", **posts) == State.OPEN.value
        assert await counted(social, "degraded_total", what="feed_posts") > CALLS
    finally:
        os.kill(hung, signal.SIGCONT)
