"""A platform in one small process: a gateway and six services that all answer the same way.

Prints its ports as JSON. `GET /peers` tells which client addresses the gateway port saw. With
`--stall AFTER SECONDS`, it stops the whole process once, that many requests after the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from uuid import UUID

from aiohttp import web
from prometheus_client import Histogram, generate_latest

from pulse_cli.stack.model import SERVICE_NAMES

ITEM = {"id": str(UUID(int=1)), "author_id": str(UUID(int=2)), "text": "hello"}
PAGE = json.dumps({"items": [ITEM] * 20, "next_cursor": None}).encode()
TOKENS = {"access_token": "a" * 100, "refresh_token": "r" * 40, "expires_in": 900}

REQUESTS = Histogram("http_request_duration_seconds", "Requests", ["method", "route", "status"])
QUERIES = Histogram("db_query_duration_seconds", "Queries", ["query"])
LAGS = Histogram("event_lag_seconds", "Events", ["type"])


class Platform:
    def __init__(
        self, stall_after: int, stall_seconds: float, failing: int, lag_seconds: float
    ) -> None:
        self.stall_after = stall_after
        self.stall_seconds = stall_seconds
        self.failing = failing
        self.lag_seconds = lag_seconds
        self.peers: set[str] = set()
        self.seen = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/peers":
            return web.json_response(sorted(self.peers))
        if request.path == "/metrics":
            return web.Response(body=generate_latest(), content_type="text/plain")
        if request.path == "/api/v1/auth/login":
            return web.json_response(TOKENS)
        self.seen += 1
        if self.seen == self.stall_after:
            time.sleep(self.stall_seconds)  # noqa: ASYNC251 - the whole server stands still
        assert request.remote is not None
        self.peers.add(request.remote)
        REQUESTS.labels(request.method, request.path, "200").observe(0.002)
        QUERIES.labels("feed").observe(0.001)
        if request.method == "POST":
            LAGS.labels("post.created").observe(self.lag_seconds)
        if self.failing and self.seen % self.failing == 0:
            return web.json_response({"code": "broken"}, status=500)
        return web.Response(body=PAGE, content_type="application/json")


async def serve(platform: Platform) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", platform.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    ports = {}
    for name in ("gateway", *SERVICE_NAMES):
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        ports[name] = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    print(json.dumps(ports), flush=True)
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gone.set)
    await gone.wait()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall", nargs=2, type=float, default=(0, 0))
    parser.add_argument("--failing", type=int, default=0)
    parser.add_argument("--lag", type=float, default=0.02)
    given = parser.parse_args()
    asyncio.run(serve(Platform(int(given.stall[0]), given.stall[1], given.failing, given.lag)))
