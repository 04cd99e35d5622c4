"""Bare aiohttp handlers that do the same SQL and cache calls as the services, and nothing else.

No token, validation, correlation id, metrics or error mapping: the floor that `endpoints.py`
compares the services with. Run by it, with a service's own settings.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import aiopg
import jwt
import orjson
import uvloop
from aiohttp import web
from redis.asyncio import Redis

from pulse_sdk.contract.posts import Post
from services.kit.auth import SERVICE_ISSUER
from services.kit.cache import open_redis
from services.kit.db import dsn
from services.kit.ids import new_id
from services.kit.settings import Settings, load_settings
from services.notifications import store as notifications
from services.posts import store as posts
from services.social.scripts import READ
from services.social.timelines import _BY, _MERGED, _PREFIX

_LAST = UUID(int=(1 << 128) - 1)
_POST = tuple(Post.model_fields)


class Bare:
    """The handlers, by the name of their case."""

    def __init__(
        self, settings: Settings, pool: aiopg.Pool, redis: Redis, http: aiohttp.ClientSession
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._http = http
        self._read_timelines = redis.register_script(READ)
        self._posts_url = orjson.loads(settings.peers_file.read_bytes())["posts"][0]
        key = settings.service_key.get_secret_value()
        claims = {"iss": SERVICE_ISSUER, "sub": "social", "aud": "posts"}
        token = jwt.encode({**claims, "exp": time.time() + 3600}, key, algorithm="HS256")
        self._posts_headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        }

    async def profile(self, request: web.Request) -> web.Response:
        """Read a cached profile."""
        found = await self._redis.mget([f"users:profile:{request.match_info['id']}"])
        return _json(found[0])

    async def posts_by_author(self, request: web.Request) -> web.Response:
        """Select a page of posts."""
        params = {"author_id": UUID(request.query["author_id"]), "before": _LAST, "count": 21}
        rows = await self._rows(posts._NEWEST_BY_AUTHOR.sql, params)
        items = [dict(zip(_POST, (*row, None), strict=True)) for row in rows[:20]]
        return _json(orjson.dumps({"items": items, "next_cursor": None}))

    async def create_post(self, request: web.Request) -> web.Response:
        """Insert a post with its event, and cache it."""
        text = orjson.loads(await request.read())["text"]
        post_id, author_id, now = new_id(), new_id(), datetime.now(UTC)
        event = {
            "specversion": "1.0",
            "id": new_id(),
            "source": "/services/posts",
            "time": now,
            "datacontenttype": "application/json",
            "type": "post.created",
            "data": {"post_id": post_id, "author_id": author_id},
        }
        params = {
            "id": post_id,
            "author_id": author_id,
            "text": text,
            "created_at": now,
            "key": None,
            "event_id": event["id"],
            "event_type": event["type"],
            "event_envelope": orjson.dumps(event).decode(),
        }
        await self._rows(posts._INSERT.sql, params)
        post = (post_id, author_id, text, 0, 0, now, None, 1, None)
        body = orjson.dumps(dict(zip(_POST, post, strict=True)))
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(f"posts:bare:{post_id}", body, ex=60, nx=True)
        await pipe.execute()
        return _json(body)

    async def feed(self, request: web.Request) -> web.Response:
        """Read a timeline, then ask posts for the bodies."""
        reader = request.query["reader"]
        keys = [f"{_PREFIX}{reader}", f"{_MERGED}{reader}"]
        found: Any = await self._read_timelines(keys=keys, args=["+", 21, _BY])
        ids = [member for member in found[0] if not member.startswith(b"!")][:20]
        async with self._http.post(
            f"{self._posts_url}/internal/posts/batch",
            data=orjson.dumps({"ids": [member.decode() for member in ids]}),
            headers=self._posts_headers,
        ) as answer:
            answer.raise_for_status()
            return _json(await answer.read())

    async def unread(self, request: web.Request) -> web.Response:
        """Count unread notifications."""
        params = {"user_id": UUID(request.query["user_id"])}
        rows = await self._rows(notifications._UNREAD.sql, params)
        return _json(orjson.dumps({"unread": rows[0][0]}))

    async def _rows(self, sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(sql, params)
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
            return rows


def _json(body: Any) -> web.Response:
    return web.Response(body=body, content_type="application/json")


_BARE = web.AppKey("bare", Bare)


def bare_app(settings: Settings, case: str) -> web.Application:
    """An application that answers every path with one case's handler."""
    app = web.Application()

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with (
            aiopg.create_pool(dsn(settings), minsize=1, maxsize=settings.pool_size) as pool,
            open_redis(settings) as redis,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            app[_BARE] = Bare(settings, pool, redis, http)
            yield

    async def handle(request: web.Request) -> web.Response:
        answer: web.Response = await getattr(request.app[_BARE], case)(request)
        return answer

    app.cleanup_ctx.append(resources)
    app.router.add_route("*", "/{id}", handle)
    return app


if __name__ == "__main__":
    settings = load_settings()
    web.run_app(
        bare_app(settings, sys.argv[1]),
        host=settings.host,
        port=settings.port,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
