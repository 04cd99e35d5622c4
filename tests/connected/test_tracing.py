"""A trace goes from a request through peers and events to a collector (OTLP/HTTP)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pulse_cli.programs import service_environment
from pulse_cli.stack.model import ServiceName
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, People, served
from tests.ports import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Told(NamedTuple):
    """A span as the collector got it."""

    service: str
    kind: int
    name: str
    id: str
    parent: str
    linked: tuple[str, ...]


class Collector:
    """Takes spans, and keeps those of the test's trace."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.app = web.Application()
        self.app.router.add_post("/v1/traces", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        exported = ExportTraceServiceRequest.FromString(await request.read())
        for resource in exported.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    linked = tuple(link.trace_id.hex() for link in span.links)
                    if TRACE in (span.trace_id.hex(), *linked):
                        self.spans.append(
                            Told(
                                attributes["service.name"],
                                span.kind,
                                span.name,
                                span.span_id.hex(),
                                span.parent_span_id.hex(),
                                linked,
                            )
                        )
        return web.Response(content_type="application/x-protobuf")

    def found(self, service: str, kind: int, name: str) -> list[Told]:
        return [s for s in self.spans if (s.service, s.kind, s.name) == (service, kind, name)]


@asynccontextmanager
async def instance(
    stack: RunningStack, name: ServiceName, endpoint: str, peers: Path
) -> AsyncIterator[str]:
    """One more instance of a service that exports its spans; its URL."""
    port = free_port()
    environment = {
        **service_environment(stack.stack, name, 9, stack.state),
        "SERVICE_PORT": str(port),
        "SERVICE_POOL_SIZE": "2",
        "SERVICE_OTLP_ENDPOINT": endpoint,
        "SERVICE_PEERS_FILE": str(peers),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        f"services.{name}",
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client:
            await until(lambda: _ready(client, url))
        yield url
    finally:
        process.terminate()
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 0


async def _ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def until(ask: Callable[[], object], within: float = WITHIN) -> None:
    async with asyncio.timeout(within):
        while True:
            answer = ask()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.05)


async def test_a_trace_goes_through_peers_and_events(
    stack: RunningStack, people: People, tmp_path: Path
) -> None:
    reader, author = await people.new(), await people.new()
    collector, peers = Collector(), tmp_path / "peers.json"
    async with AsyncExitStack() as running:
        endpoint = await running.enter_async_context(served(collector.app))
        peers.write_text(json.dumps({}))
        posts = await running.enter_async_context(instance(stack, "posts", endpoint, peers))
        peers.write_text(json.dumps({"posts": [posts]}))
        social = await running.enter_async_context(instance(stack, "social", endpoint, peers))
        client = await running.enter_async_context(
            httpx.AsyncClient(headers=HEADERS, timeout=WITHIN)
        )

        followed = await client.put(
            f"{social}/api/v1/social/following/{author.id}", headers=reader.headers
        )
        assert followed.status_code == 204

        async def handled() -> bool:
            """Whether our instance has got a post's event; the stack's own gets every other."""
            made = await client.post(
                f"{posts}/api/v1/posts", json={"text": "traced"}, headers=author.headers
            )
            assert made.status_code == 201
            await asyncio.sleep(0.3)
            return bool(collector.found("social", Span.SPAN_KIND_CONSUMER, "handle social.posts"))

        await until(handled)
        feed = await client.get(f"{social}/api/v1/feed", headers=reader.headers)
        assert feed.json()["items"]
        server = ("posts", Span.SPAN_KIND_SERVER, "POST /internal/posts/batch")
        await until(lambda: collector.found(*server))

    (asked,) = collector.found("social", Span.SPAN_KIND_SERVER, "GET /api/v1/feed")
    (called,) = collector.found("social", Span.SPAN_KIND_CLIENT, "POST posts")
    (answered,) = collector.found(*server)
    assert (asked.parent, called.parent, answered.parent) == (CALLER, asked.id, called.id)

    made = collector.found("posts", Span.SPAN_KIND_SERVER, "POST /api/v1/posts")
    heard = collector.found("social", Span.SPAN_KIND_CONSUMER, "handle social.posts")
    assert {one.parent for one in heard if not one.linked} <= {one.id for one in made}
