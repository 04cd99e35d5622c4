"""Redis as a cache: cache-aside with one loader per key. Redis being away costs speed, no error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.kit.observe import CACHE, degraded
from services.kit.settings import Settings

M = TypeVar("M", bound=BaseModel)

CACHE_SECONDS = 0.25
"""How long a look-up may take before the database is asked instead."""

_CONNECTIONS = 1000
"""Connections of one instance: as many as it may have requests under way, for past the limit
look-ups would fail at once and burden the database just when it is busiest."""

_DROPPED = b""
_DROPPED_SECONDS = 6
"""How long a dropped entry refuses to be filled: longer than a query may take (5 s), so that what
was read before the drop cannot be kept after it."""

FAILURES = (RedisError, OSError, TimeoutError)
"""What redis-py raises when Redis is away or refuses."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client of the service's own Redis user, closed in the end."""
    # No socket_timeout: redis-py pays for it on each call; callers bound theirs from outside.
    redis = Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user,
        password=settings.redis_password.get_secret_value(),
        protocol=3,
        socket_timeout=None,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 1),
        max_connections=_CONNECTIONS,
        ssl=settings.redis_tls,
        ssl_ca_certs=str(settings.store_ca) if settings.store_ca else None,
    )
    async with redis:
        yield redis


class Cache:
    """Entries of one kind, JSON of a contract model, under `<service>:<kind>:<id>`."""

    def __init__(self, redis: Redis, service: str, kind: str, ttl_seconds: int) -> None:
        self._redis = redis
        self._prefix = f"{service}:{kind}:"
        self._ttl = ttl_seconds
        self._loading: dict[str, asyncio.Task[bytes]] = {}
        self._hits, self._misses, self._errors = (
            CACHE.labels(kind, outcome) for outcome in ("hit", "miss", "error")
        )

    async def get_many(self, ids: Sequence[object]) -> list[bytes | None]:
        """The entries in the order asked for; None where there is none."""
        if not ids:
            return []
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                found = await self._redis.mget([f"{self._prefix}{i}" for i in ids])
        except FAILURES as error:
            self._failed(error)
            return [None] * len(ids)
        # This client does not decode; what was dropped lately is as good as not there.
        entries = [entry or None for entry in cast("list[bytes | None]", found)]
        if missing := entries.count(None):
            self._misses.inc(missing)
        if missing < len(entries):
            self._hits.inc(len(entries) - missing)
        return entries

    async def fill_many(self, entries: Mapping[Any, bytes]) -> None:
        """Keep what was read, unless there is an entry or one was dropped moments ago."""
        if not entries:
            return
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for key, value in entries.items():
                    pipe.set(f"{self._prefix}{key}", value, ex=self._ttl, nx=True)
                await pipe.execute()
        except FAILURES as error:
            self._failed(error)

    async def drop(self, *ids: object) -> None:
        """Forget entries, after the write; if Redis is away they end with their time to live."""
        try:
            async with asyncio.timeout(CACHE_SECONDS):
                pipe = self._redis.pipeline(transaction=False)
                for i in ids:
                    pipe.set(f"{self._prefix}{i}", _DROPPED, ex=_DROPPED_SECONDS)
                await pipe.execute()
        except FAILURES as error:
            self._failed(error)

    async def get_or_load(self, key: object, model: type[M], load: Callable[[], Awaitable[M]]) -> M:
        """What `json_or_load` gives, read as its model.

        Raises:
            Whatever `load` raises.
        """
        return model.model_validate_json(await self.json_or_load(key, load))

    async def json_or_load(self, key: object, load: Callable[[], Awaitable[BaseModel]]) -> bytes:
        """The entry, or what `load` gives, which is then kept. Concurrent callers share one load.

        Raises:
            Whatever `load` raises.
        """
        (found,) = await self.get_many((key,))
        if found is not None:
            return found
        name = str(key)
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.ensure_future(self._load(name, load))
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(task)

    async def _load(self, key: str, load: Callable[[], Awaitable[BaseModel]]) -> bytes:
        loaded = (await load()).model_dump_json().encode()
        await self.fill_many({key: loaded})
        return loaded

    def _failed(self, error: Exception) -> None:
        self._errors.inc()
        degraded("cache")
        log.warning("cache %s is not reachable: %r", self._prefix, error)
