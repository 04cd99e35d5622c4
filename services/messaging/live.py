"""Live delivery: from whichever instance took a message to the sockets of those it is for.

The instance that commits a message publishes its frame, with its position in the recipient's
inbox, to the Redis channel `messaging:user:<id>` of each recipient. Every instance keeps one Redis
connection that is subscribed to the channels of the people whose sockets it holds.

Redis may lose or reorder frames; nobody misses a message for it. A socket writes the frame of the
position that follows its last one, drops those it has written, and where one is missing reads
everything up to there from PostgreSQL, where positions are gapless (see `mail`). So that
the last frame of all is not missed either, each instance compares its people's positions with
their inboxes from time to time: at once after its subscriptions were interrupted, every second
while they are, else every ten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from services.kit.cache import CACHE_SECONDS, FAILURES
from services.kit.errors import ServiceError

log = logging.getLogger(__name__)

QUEUED_FRAMES = 128
"""How many frames may wait for a slow reader before its socket is closed."""

EPHEMERAL = 0
"""The position of frames that are of the moment: they are not read again from anywhere."""

GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013

_SUBSCRIBE_SECONDS = 1.0
_PING_SECONDS = 10.0
_SILENCE_SECONDS = 25.0
_RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0)
_COMPARE_SECONDS = 10.0
_COMPARE_INTERRUPTED_SECONDS = 1.0
_COMPARED_AT_ONCE = 1000
_ALWAYS = "messaging:alive"
"""Subscribed to while nobody is connected: a connection without a channel is no subscriber."""


class Outlet:
    """What waits to be written to one socket, and why that socket is to be closed."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUED_FRAMES)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The close code, once the service wants the socket closed."""
        self.newest = 0
        """Up to which position messages are known to be committed."""
        self.behind = True
        """Whether messages up to `newest` are being read; none needs to be queued meanwhile."""

    def offer(self, position: int, frame: bytes) -> None:
        """Queue a frame that is new; without content it only tells the position.

        A reader that is too slow for it is cut off; one that reads what it missed may miss frames
        of the moment instead.
        """
        if position != EPHEMERAL:
            if position <= self.newest:
                return
            self.newest = position
        if not self.behind:
            self.say(frame, position)
        elif position == EPHEMERAL and not self.frames.full():
            self.say(frame)

    def say(self, frame: bytes, position: int = EPHEMERAL) -> None:
        """Queue a frame whatever else is under way."""
        try:
            self.frames.put_nowait((position, frame))
        except asyncio.QueueFull:
            self.end(TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Have the socket closed; the first reason given stands."""
        if not self.ended.done():
            self.ended.set_result(code)


class _Feed:
    """The sockets of one person on this instance."""

    def __init__(self, user_id: UUID) -> None:
        self.user_id = user_id
        self.outlets: set[Outlet] = set()
        self.subscribed = asyncio.Event()
        self.interrupted = False


class Live:
    """Publishes frames, and hands those that arrive to the sockets of this instance."""

    def __init__(
        self, redis: Redis, positions: Callable[[Sequence[UUID]], Awaitable[dict[UUID, int]]]
    ) -> None:
        self._redis = redis
        self._positions = positions
        self._feeds: dict[str, _Feed] = {}
        self._changed = asyncio.Event()
        self._resumed = asyncio.Event()
        self._closing = False

    async def publish(self, frames: Iterable[tuple[UUID, int, bytes]]) -> None:
        """Send each person a frame with its position, wherever they are; never an error."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for user_id, position, frame in frames:
                    pipe.publish(_channel(user_id), b"%d\n%b" % (position, frame))
                await pipe.execute()
        except FAILURES as error:
            log.warning("a frame was not delivered live: %r", error)

    async def tell(self, user_ids: Iterable[UUID], frame: bytes) -> None:
        """Send people a frame of the moment; never an error."""
        await self.publish((user_id, EPHEMERAL, frame) for user_id in user_ids)

    @asynccontextmanager
    async def attached(self, user_id: UUID) -> AsyncIterator[Outlet]:
        """An outlet that gets what is published for the user from here on."""
        channel = _channel(user_id)
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = _Feed(user_id)
            self._changed.set()
        outlet = Outlet()
        feed.outlets.add(outlet)
        if self._closing:
            outlet.end(GOING_AWAY)
        try:
            await _subscribed(feed)
            yield outlet
        finally:
            feed.outlets.discard(outlet)
            if not feed.outlets:
                del self._feeds[channel]
                self._changed.set()

    async def run(self) -> None:
        """Listen until cancelled; a connection that is lost is made again."""
        failures = 0
        while True:
            try:
                async with self._redis.pubsub() as pubsub, asyncio.TaskGroup() as tasks:
                    await pubsub.subscribe(_ALWAYS)
                    confirmed: set[str] = set()
                    tasks.create_task(self._follow(pubsub, confirmed))
                    async for channel in self._deliver(pubsub):
                        failures = 0
                        confirmed.add(channel)
            except* Exception as group:
                log.warning("live delivery is interrupted: %r", group.exceptions)
            for feed in self._feeds.values():
                feed.subscribed.clear()
                feed.interrupted = True
            await asyncio.sleep(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])
            failures += 1

    async def compare(self) -> None:
        """Compare positions with inboxes until cancelled; what is missing is read by sockets."""
        while True:
            whole = all(feed.subscribed.is_set() for feed in self._feeds.values())
            try:
                async with asyncio.timeout(
                    _COMPARE_SECONDS if whole else _COMPARE_INTERRUPTED_SECONDS
                ):
                    await self._resumed.wait()
            except TimeoutError:
                pass
            self._resumed.clear()
            user_ids = [feed.user_id for feed in self._feeds.values()]
            try:
                for start in range(0, len(user_ids), _COMPARED_AT_ONCE):
                    part = user_ids[start : start + _COMPARED_AT_ONCE]
                    for user_id, position in (await self._positions(part)).items():
                        self._offer(_channel(user_id), position, b"")
            except ServiceError as error:
                log.warning("inboxes could not be compared: %s", error.detail)

    def close(self) -> None:
        """Have all sockets closed, also those that come later: this instance goes away."""
        self._closing = True
        for feed in self._feeds.values():
            for outlet in feed.outlets:
                outlet.end(GOING_AWAY)

    async def _follow(self, pubsub: PubSub, confirmed: set[str]) -> None:
        """Keep the subscriptions those of the people who are connected."""
        requested: set[str] = set()
        while True:
            self._changed.clear()
            if new := self._feeds.keys() - requested:
                await pubsub.subscribe(*new)
                requested |= new
            # Only what is confirmed is given up: a late confirmation must not be taken for that
            # of a subscription that was made anew.
            if gone := (requested & confirmed) - self._feeds.keys():
                confirmed -= gone
                requested -= gone
                await pubsub.unsubscribe(*gone)
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await pubsub.ping()

    async def _deliver(self, pubsub: PubSub) -> AsyncIterator[str]:
        """Hand frames out; gives the channels whose subscription Redis confirms.

        Raises:
            TimeoutError: nothing was heard, not even the answer to a ping.
        """
        while True:
            async with asyncio.timeout(_SILENCE_SECONDS):
                heard = await pubsub.get_message(timeout=None)
            if heard is None or heard["channel"] is None:
                continue
            channel = heard["channel"].decode()
            if heard["type"] == "message":
                position, _, frame = heard["data"].partition(b"\n")
                self._offer(channel, int(position), frame)
            elif heard["type"] == "subscribe":
                self._confirm(channel)
                yield channel

    def _confirm(self, channel: str) -> None:
        feed = self._feeds.get(channel)
        if feed is None:
            return
        feed.subscribed.set()
        if feed.interrupted:
            feed.interrupted = False
            self._resumed.set()

    def _offer(self, channel: str, position: int, frame: bytes) -> None:
        feed = self._feeds.get(channel)
        if feed is not None:
            for outlet in feed.outlets:
                outlet.offer(position, frame)


def message_frame(position: int, message: str) -> bytes:
    """The `MessageFrame` of a message that is JSON already: most have several recipients."""
    return b'{"type":"message","position":%d,"data":%b}' % (position, message.encode())


async def _subscribed(feed: _Feed) -> None:
    """Wait for the subscription, but no longer than a caller would: without it, `compare` does."""
    try:
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await feed.subscribed.wait()
    except TimeoutError:
        feed.interrupted = True
        log.warning("a socket is served without Redis for now")


def _channel(user_id: UUID) -> str:
    return f"messaging:user:{user_id}"
