"""Who is connected, in Redis for a short time, and telling those who may know.

`messaging:online:<user>` holds a member per instance with sockets of that person, whose score is
when it ends unless the instance renews it. So an instance that dies takes its people offline
within 30 s, and one that lives takes away only its own member. Redis being away: nobody is shown.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis

from pulse_sdk.contract.messaging import PresenceChange, PresenceFrame
from services.kit.cache import CACHE_SECONDS, FAILURES
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.messaging.live import Live
from services.messaging.store import ConversationStore

log = logging.getLogger(__name__)

PRESENT_SECONDS = 30
_RENEW_SECONDS = 10.0
_MOST_TOLD = 500
"""How many are told that somebody came or went; others see it when they ask."""
_RENEWED_AT_ONCE = 500
_TYPING_MS = 2000
"""A conversation is told at most this often that the same person is writing."""


class PresenceBoard:
    """Shows who is connected to any instance, and who is writing."""

    def __init__(self, redis: Redis, live: Live, store: ConversationStore) -> None:
        self._redis = redis
        self._live = live
        self._store = store
        self._instance = str(new_id())
        self._sockets: Counter[UUID] = Counter()

    async def online(self, user_ids: Sequence[UUID]) -> list[UUID]:
        """Those of these people who are connected, in the order asked for."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for user_id in user_ids:
                    pipe.zcount(_key(user_id), time.time(), "+inf")
                counts = await pipe.execute()
        except FAILURES as error:
            log.warning("who is connected cannot be told: %r", error)
            return []
        return [user_id for user_id, count in zip(user_ids, counts, strict=True) if count]

    @asynccontextmanager
    async def shown(self, user_id: UUID) -> AsyncIterator[None]:
        """Show somebody as connected meanwhile."""
        self._sockets[user_id] += 1
        if self._sockets[user_id] == 1:
            await self._change(user_id, online=True)
        try:
            yield
        finally:
            self._sockets[user_id] -= 1
            if self._sockets[user_id] == 0:
                del self._sockets[user_id]
                await self._change(user_id, online=False)

    async def renew(self) -> None:
        """Keep those shown who are connected, until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            user_ids = list(self._sockets)
            try:
                for start in range(0, len(user_ids), _RENEWED_AT_ONCE):
                    async with asyncio.timeout(_RENEW_SECONDS):
                        pipe = self._redis.pipeline(transaction=False)
                        for user_id in user_ids[start : start + _RENEWED_AT_ONCE]:
                            if user_id in self._sockets:
                                pipe.zadd(_key(user_id), self._mark())
                                pipe.expire(_key(user_id), PRESENT_SECONDS)
                        await pipe.execute()
            except FAILURES as error:
                log.warning("who is connected could not be renewed: %r", error)

    async def may_tell_typing(self, user_id: UUID, conversation_id: UUID) -> bool:
        """Whether it is long enough since the conversation was told of the same."""
        key = f"messaging:typing:{conversation_id}:{user_id}"
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                return bool(await self._redis.set(key, 1, px=_TYPING_MS, nx=True))
        except FAILURES as error:
            log.warning("who is writing cannot be told: %r", error)
            return False

    async def _change(self, user_id: UUID, *, online: bool) -> None:
        """Write it down and, if no other instance shows the person, tell those who may know."""
        key = _key(user_id)
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline()
                pipe.zrem(key, self._instance)
                pipe.zcount(key, time.time(), "+inf")
                if online:
                    pipe.zadd(key, self._mark())
                    pipe.expire(key, PRESENT_SECONDS)
                elsewhere = (await pipe.execute())[1]
            if elsewhere:
                return
            contacts = await self._store.contacts(user_id, _MOST_TOLD)
        except (*FAILURES, ServiceError) as error:
            log.warning("nobody is told that somebody came or went: %r", error)
            return
        frame = PresenceFrame(data=PresenceChange(user_id=user_id, online=online))
        await self._live.tell(contacts, frame.model_dump_json().encode())

    def _mark(self) -> dict[str, float]:
        return {self._instance: time.time() + PRESENT_SECONDS}


def _key(user_id: UUID) -> str:
    return f"messaging:online:{user_id}"
