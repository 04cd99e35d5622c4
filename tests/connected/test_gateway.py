"""What a gateway makes of requests: where they lead, what they may be, whom they reach."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from pulse_cli.render.local import render_gateway
from pulse_cli.stack.model import ROUTES, Route
from pulse_cli.targets.local.programs import description_folder
from tests.connected.gateway_policies import AWAY, MAX_BODY, TIMEOUT_SECONDS, policed
from tests.connected.gateway_stand import KINDS, Running, client_at, eventually, refused
from tests.connected.people import fresh_address

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    async with policed(request.param, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Running) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address, and so a budget of requests, of its own."""
    async with client_at(gateway, fresh_address()) as fresh:
        yield fresh


# Routing


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.service != AWAY and not r.websocket], ids=lambda r: r.prefix
)
async def test_a_prefix_leads_to_its_service(
    gateway: Running, client: httpx.AsyncClient, route: Route
) -> None:
    for path in (route.prefix, f"{route.prefix}/below?limit=3"):
        answer = await client.get(path, headers=gateway.bearer())
        assert answer.status_code == 200
        assert answer.json()["instance"].startswith(f"{route.service}-")
        assert answer.json()["path"] == path


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1", "/api/v1/nothing", "/api/v1/postscript", "/internal/import", "/metrics",
     "/health", "/health/nobody", "/health/live", "/stats"],
)  # fmt: skip
async def test_other_paths_lead_nowhere(client: httpx.AsyncClient, path: str) -> None:
    refused(await client.get(path), 404, "gateway_no_route")


async def test_a_path_is_judged_as_the_service_will_see_it(client: httpx.AsyncClient) -> None:
    refused(await client.get("/api/v1/auth/login/%2e%2e/session"), 401, "gateway_unauthorized")
    refused(await client.get("/api/v1//posts"), 401, "gateway_unauthorized")
    answer = await client.get("/api/v1/auth/login%2f..%2fsession")
    assert answer.status_code == 400


async def test_health_of_a_service_needs_no_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/social")
    assert answer.json() == {"live": "social-0"}


async def test_a_service_that_is_away_is_told_so(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/api/v1/events", headers=gateway.bearer())
    refused(answer, 503, "gateway_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_service_that_is_too_slow_is_cut_off(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    refused(
        await client.get("/api/v1/posts/slow", headers=gateway.bearer()), 504, "gateway_timeout"
    )


async def test_a_services_own_problem_passes_untouched(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/api/v1/posts/missing", headers=gateway.bearer())
    assert answer.json()["code"] == "post_not_found"


# What is asked


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_a_limit(
    gateway: Running, client: httpx.AsyncClient, size: int, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * (size // 2)
        yield b"x" * (size - size // 2)

    content = pieces() if chunked else b"x" * size
    answer = await client.post("/api/v1/posts", content=content, headers=gateway.bearer())
    if size <= MAX_BODY:
        assert answer.json()["length"] == size
    else:
        refused(answer, 413, "gateway_body_too_large")


async def test_a_preflight_is_answered_for_known_origins_only(client: httpx.AsyncClient) -> None:
    def preflight(origin: str) -> dict[str, str]:
        return {"Origin": origin, "Access-Control-Request-Method": "PUT"}

    known = await client.options("/api/v1/posts", headers=preflight("http://app.test"))
    assert known.status_code == 200
    assert known.headers["access-control-allow-origin"] == "http://app.test"
    assert "PUT" in known.headers["access-control-allow-methods"]
    assert "idempotency-key" in known.headers["access-control-allow-headers"]
    other = await client.options("/api/v1/posts", headers=preflight("http://evil.test"))
    assert "access-control-allow-origin" not in other.headers


async def test_a_page_of_a_known_origin_can_read_answers_and_refusals(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    origin = {"Origin": "http://app.test"}
    good = await client.get("/api/v1/posts", headers=gateway.bearer() | origin)
    bad = await client.get("/api/v1/posts", headers=origin)
    for answer in (good, bad):
        assert answer.headers["access-control-allow-origin"] == "http://app.test"
        assert "x-correlation-id" in answer.headers["access-control-expose-headers"]


async def test_every_answer_carries_a_correlation_id(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    for path in ("/api/v1/posts", "/api/v1/events", "/api/v1/posts/missing", "/nowhere"):
        made = await client.get(path, headers=gateway.bearer())
        assert len(made.headers["x-correlation-id"]) == 36
        given = await client.get(path, headers=gateway.bearer() | {"X-Correlation-ID": "mine"})
        assert given.headers["x-correlation-id"] == "mine"
        assert given.headers["x-request-id"]
        assert given.headers["x-content-type-options"] == "nosniff"
    echoed = (await client.get("/api/v1/posts", headers=gateway.bearer())).json()["headers"]
    assert echoed["x-correlation-id"] == echoed["x-request-id"]


# WebSocket


async def test_a_websocket_passes_both_ways(gateway: Running) -> None:
    url = f"ws://127.0.0.1:{gateway.stack.gateway.port}/api/v1/ws"
    local = (fresh_address(), 0)
    async with connect(url, additional_headers=gateway.bearer(), local_addr=local) as socket:
        await asyncio.sleep(TIMEOUT_SECONDS + 0.5)  # longer than a request may take
        for text in ("hello", "x" * 2 * MAX_BODY):
            await socket.send(text)
            assert await socket.recv() == f"messaging-0: {text}"


# Instances


async def test_scaling_is_followed_without_a_restart_and_a_dead_instance_costs_no_error(
    gateway: Running,
) -> None:
    if gateway.kind == "kong":
        pytest.skip("Kong is told of instances by a reload")

    def scale(replicas: int) -> None:
        posts = gateway.stack.services.posts.model_copy(update={"replicas": replicas})
        services = gateway.stack.services.model_copy(update={"posts": posts})
        stack = gateway.stack.model_copy(update={"services": services})
        render_gateway(stack, gateway.secrets, gateway.state)

    async def instances(requests: int = 10) -> list[Any]:
        async with client_at(gateway, fresh_address()) as client:
            answers = [
                await client.get("/api/v1/posts", headers=gateway.bearer()) for _ in range(requests)
            ]
        return [a.json().get("instance", a.status_code) for a in answers]

    async def served_by(*expected: str) -> bool:
        return set(await instances()) == set(expected)

    assert await served_by("posts-0")
    scale(2)
    await eventually(lambda: served_by("posts-0", "posts-1"))
    assert (await instances(20)).count("posts-0") == 10

    await gateway.upstreams["posts-0"].stop()
    assert set(await instances()) == {"posts-1"}
    await gateway.upstreams["posts-0"].start()
    await eventually(lambda: served_by("posts-0", "posts-1"))

    scale(1)
    await eventually(lambda: served_by("posts-0"))


async def test_what_is_rendered_shows_no_secret_to_others(gateway: Running) -> None:
    for path in (gateway.state / "rendered").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "file", "content_type"),
    [
        ("openapi.json", "openapi.json", "application/json"),
        ("docs?from=here", "docs.html", "text/html; charset=utf-8"),
    ],
)
async def test_the_description_of_the_api_needs_no_token(
    gateway: Running, path: str, file: str, content_type: str
) -> None:
    async with client_at(gateway, "127.0.7.1") as client:
        answer = await client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert answer.content == (description_folder(gateway.state) / file).read_bytes()
