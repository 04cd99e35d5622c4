"""Live delivery: from whichever instance took a message to the sockets of those it is for.

The instance that commits a message publishes its frame to the Redis channel
`messaging:user:<id>` of each recipient. Every instance keeps one Redis connection that is
subscribed to the channels of the people whose sockets it holds. Delivery is best effort: what is
sent while Redis or a socket is away is read from the conversation afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from services.kit.cache import CACHE_SECONDS, FAILURES
from services.kit.errors import ServiceError

log = logging.getLogger(__name__)

QUEUED_FRAMES = 128
"""How many frames may wait for a slow reader before its socket is closed."""

GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013

_SUBSCRIBE_SECONDS = 2.0
_PING_SECONDS = 10.0
_SILENCE_SECONDS = 25.0
_RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0)
_ALWAYS = "messaging:alive"
"""Subscribed to while nobody is connected: a connection without a channel is no subscriber."""


class Outlet:
    """What waits to be written to one socket, and why that socket is to be closed."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_FRAMES)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The close code, once the service wants the socket closed."""

    def offer(self, frame: bytes) -> None:
        """Queue a frame; a reader that is too slow for it is cut off."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.end(TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Have the socket closed; the first reason given stands."""
        if not self.ended.done():
            self.ended.set_result(code)


class _Feed:
    """The sockets of one person on this instance."""

    def __init__(self) -> None:
        self.outlets: set[Outlet] = set()
        self.subscribed = asyncio.Event()


class Live:
    """Publishes frames, and hands those that arrive to the sockets of this instance."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._feeds: dict[str, _Feed] = {}
        self._changed = asyncio.Event()
        self._closing = False

    async def publish(self, recipients: Iterable[UUID], frame: bytes) -> None:
        """Send a frame to everyone's sockets, wherever they are; never an error."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for user_id in recipients:
                    pipe.publish(_channel(user_id), frame)
                await pipe.execute()
        except FAILURES as error:
            log.warning("a message was not delivered live: %r", error)

    @asynccontextmanager
    async def attached(self, user_id: UUID) -> AsyncIterator[Outlet]:
        """An outlet that gets what is published for the user from here on.

        Raises:
            ServiceError: 503 when Redis is away.
        """
        channel = _channel(user_id)
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = _Feed()
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
            await asyncio.sleep(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])
            failures += 1

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
            feed = self._feeds.get(channel)
            if heard["type"] == "message" and feed is not None:
                for outlet in feed.outlets:
                    outlet.offer(heard["data"])
            elif heard["type"] == "subscribe":
                if feed is not None:
                    feed.subscribed.set()
                yield channel


async def _subscribed(feed: _Feed) -> None:
    try:
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await feed.subscribed.wait()
    except TimeoutError:
        raise ServiceError.unavailable("live_delivery") from None


def _channel(user_id: UUID) -> str:
    return f"messaging:user:{user_id}"
