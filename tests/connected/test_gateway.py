"""Each policy of the gateway as a request and its answer, through a real Envoy."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from pulse_cli.render.local import render_gateway
from pulse_cli.stack.gateway import FORGED, Gateway
from pulse_cli.stack.model import ROUTES, Route, ServiceName, Stack
from pulse_cli.targets.local.ports import isolated
from pulse_cli.targets.local.programs import description_folder
from pulse_sdk.contract.messaging import SUBPROTOCOL
from tests.connected.gateway_stand import KINDS, Running, client_at, eventually, refused, standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 20
MAX_BODY = 65_536
AWAY: ServiceName = "events"
"""The service that does not run."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    policies = Gateway(
        requests_per_second=RATE,
        max_body_bytes=MAX_BODY,
        cors_origins=("http://app.test",),
        deny=("127.9.0.0/16", "198.51.100.0/24"),
        trusted_proxies=("127.8.0.0/16", "192.0.2.0/24"),
        timeout_seconds=1,
    )
    state = tmp_path_factory.mktemp("gateway")
    stack = isolated(Stack(gateway=policies))
    async with standing(stack, state, request.param, AWAY) as running:
        yield running
    said = (state / "gateway.log").read_text().splitlines()
    # Kong logs as errors that an instance is away or late, which is meant here.
    meant = ("upstream", "attempt to set status 502")
    assert not [one for one in said if "[error]" in one and not any(m in one for m in meant)]
    assert not [line for line in said if "[critical]" in line or "[crit]" in line]


@pytest.fixture(scope="module")
def addresses() -> Iterator[str]:
    return (f"127.1.{i // 250}.{i % 250 + 1}" for i in itertools.count())


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Running, addresses: Iterator[str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address, and so a budget of requests, of its own."""
    async with client_at(gateway, next(addresses)) as fresh:
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


# Tokens


async def test_a_good_token_reaches_the_service_which_checks_it_too(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    headers = gateway.bearer()
    answer = await client.get("/api/v1/users/me", headers=headers)
    assert answer.json()["headers"]["authorization"] == headers["Authorization"]


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "k" * 43},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"iss": "somebody"},
    ],
    ids=["signature", "expired", "endless", "issuer"],
)
async def test_a_bad_token_is_refused(
    gateway: Running, client: httpx.AsyncClient, changes: dict[str, object]
) -> None:
    answer = await client.get("/api/v1/posts", headers=gateway.bearer(**changes))
    refused(answer, 401, "gateway_unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_for_somebody_else_is_refused(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/api/v1/posts", headers=gateway.bearer(aud="another"))
    refused(answer, 403, "gateway_forbidden")


async def test_an_unsigned_token_or_none_is_refused(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    _, claims, _ = gateway.token().split(".")
    unsigned = f"{part({'alg': 'none', 'typ': 'JWT'})}.{claims}."
    for headers in ({}, {"Authorization": f"Bearer {unsigned}"}, {"Authorization": "Bearer x"}):
        refused(await client.get("/api/v1/feed", headers=headers), 401, "gateway_unauthorized")


@pytest.mark.parametrize("path", [path for route in ROUTES for path in route.public])
async def test_public_paths_need_no_token_and_what_lies_below_does(
    client: httpx.AsyncClient, path: str
) -> None:
    assert (await client.post(path, json={})).status_code == 200
    refused(await client.post(f"{path}/more", json={}), 401, "gateway_unauthorized")


# Who is asking


async def test_each_client_address_has_its_own_budget(
    gateway: Running, addresses: Iterator[str]
) -> None:
    async with client_at(gateway, next(addresses)) as greedy:
        async with client_at(gateway, next(addresses)) as modest:
            began = time.monotonic()
            answers = [await greedy.get("/health/posts") for _ in range(4 * RATE)]
            refills = int(time.monotonic() - began) + 1
            assert (await modest.get("/health/posts")).status_code == 200
        over = [a for a in answers if a.status_code == 429]
        assert RATE <= len(answers) - len(over) <= (1 + refills) * RATE
        refused(over[0], 429, "gateway_rate_limited")
        assert over[0].headers["retry-after"] == "1"
        forged = {"X-Forwarded-For": "10.1.1.1", "X-Envoy-External-Address": "10.1.1.1"}
        again = [await greedy.get("/health/posts", headers=forged) for _ in range(4 * RATE)]
        assert 429 in {answer.status_code for answer in again}

        async def recovered() -> bool:
            return (await greedy.get("/health/posts")).status_code == 200

        await eventually(recovered)


async def test_a_denied_address_is_refused(gateway: Running) -> None:
    async with client_at(gateway, "127.9.0.7") as denied:
        refused(await denied.get("/health/posts"), 403, "gateway_forbidden")


async def test_forged_headers_do_not_reach_a_service(
    gateway: Running, addresses: Iterator[str]
) -> None:
    address = next(addresses)
    forged = dict.fromkeys(
        ("X-User-Id", "X-Jwt-Sub", "X-Roles", "X-Real-IP", "X-Forwarded-Host", "Forwarded",
         "X-Forwarded-For", "X-Envoy-Upstream-Rq-Timeout-Ms", "X-Envoy-Retry-On",
         "X-Envoy-Original-Path"),
        "6.6.6.6",
    )  # fmt: skip
    async with client_at(gateway, address) as client:
        answer = await client.get("/api/v1/users/me", headers=gateway.bearer() | forged)
    seen = answer.json()["headers"]
    assert "6.6.6.6" not in seen.values()
    assert seen["x-forwarded-for"] == address
    assert "x-user-id" not in seen


# Who is asking, behind a proxy

PROXY = "127.8.0.1"


@pytest.mark.parametrize(
    ("source", "said", "believed"),
    [
        (PROXY, "203.0.113.7", "203.0.113.7"),
        (PROXY, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (PROXY, "6.6.6.6, 203.0.113.7, 192.0.2.9", "203.0.113.7"),
        (PROXY, "2001:db8::7", "2001:db8::7"),
        (PROXY, None, PROXY),
        ("127.7.0.1", "203.0.113.7", "127.7.0.1"),
        ("127.7.0.1", "127.8.0.2", "127.7.0.1"),
    ],
)
async def test_an_address_is_believed_of_trusted_proxies_alone(
    gateway: Running, source: str, said: str | None, believed: str
) -> None:
    told = {"X-Forwarded-For": said} if said else {}
    async with client_at(gateway, source) as client:
        answer = await client.get("/api/v1/users/me", headers=gateway.bearer() | told)
    assert answer.json()["headers"]["x-forwarded-for"] == believed


async def test_nothing_else_is_believed_of_a_proxy(gateway: Running) -> None:
    forged = dict.fromkeys(FORGED, "6.6.6.6") | {"X-Forwarded-For": "203.0.113.8"}
    async with client_at(gateway, PROXY) as client:
        answer = await client.get("/api/v1/users/me", headers=gateway.bearer() | forged)
    seen = answer.json()["headers"]
    assert "6.6.6.6" not in seen.values()
    assert seen["x-forwarded-for"] == "203.0.113.8"
    assert seen["x-forwarded-proto"] == "http"
    assert not [name for name in seen if name.startswith("x-envoy-")]


async def test_lists_and_limits_are_of_the_client_behind_a_proxy(gateway: Running) -> None:
    async with client_at(gateway, PROXY) as client:
        denied = {"X-Forwarded-For": "198.51.100.1"}
        refused(await client.get("/health/posts", headers=denied), 403, "gateway_forbidden")
        many = [{"X-Forwarded-For": f"203.0.113.{i + 20}"} for i in range(4 * RATE)]
        answers = [await client.get("/health/posts", headers=each) for each in many]
        assert {answer.status_code for answer in answers} == {200}
        one = [{"X-Forwarded-For": f"10.0.0.{i}, 203.0.113.9"} for i in range(8 * RATE)]
        answers = [await client.get("/health/posts", headers=each) for each in one]
        assert 429 in {answer.status_code for answer in answers}
    async with client_at(gateway, "127.7.0.2") as stranger:
        assert (await stranger.get("/health/posts", headers=denied)).status_code == 200


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


async def test_a_websocket_passes_both_ways(gateway: Running, addresses: Iterator[str]) -> None:
    url = f"ws://127.0.0.1:{gateway.stack.gateway.port}/api/v1/ws"
    local = (next(addresses), 0)
    async with connect(url, additional_headers=gateway.bearer(), local_addr=local) as socket:
        await asyncio.sleep(1.5)  # longer than a request may take
        for text in ("hello", "x" * 2 * MAX_BODY):
            await socket.send(text)
            assert await socket.recv() == f"messaging-0: {text}"


async def test_a_browser_shows_its_token_among_the_protocols_it_offers(
    gateway: Running, addresses: Iterator[str]
) -> None:
    def offering(path: str, token: str) -> connect:
        return connect(
            f"ws://127.0.0.1:{gateway.stack.gateway.port}/api/v1/{path}",
            subprotocols=[Subprotocol(SUBPROTOCOL), Subprotocol(f"bearer.{token}")],
            local_addr=(next(addresses), 0),
        )

    async with offering("ws", gateway.token()) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        await socket.send("hello")
        assert await socket.recv() == "messaging-0: hello"
    for path, token in (("ws", gateway.token("k" * 43)), ("ws", "x"), ("feed", gateway.token())):
        with pytest.raises(InvalidStatus) as caught:
            await offering(path, token)
        assert caught.value.response.status_code in {401, 403}


async def test_a_token_in_an_address_is_none(gateway: Running, client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/posts", params={"access_token": gateway.token()})
    refused(answer, 401, "gateway_unauthorized")


@pytest.mark.parametrize(
    ("path", "authorised", "status"), [("ws", False, 401), ("posts", True, 403)]
)
async def test_a_websocket_needs_a_token_and_its_own_path(
    gateway: Running, path: str, authorised: bool, status: int
) -> None:
    headers = gateway.bearer() if authorised else {}
    url = f"ws://127.0.0.1:{gateway.stack.gateway.port}/api/v1/{path}"
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers=headers)
    assert caught.value.response.status_code == status


# Instances


async def test_scaling_is_followed_without_a_restart_and_a_dead_instance_costs_no_error(
    gateway: Running, addresses: Iterator[str]
) -> None:
    if gateway.kind == "kong":
        pytest.skip("Kong is told of instances by a reload")

    def scale(replicas: int) -> None:
        posts = gateway.stack.services.posts.model_copy(update={"replicas": replicas})
        services = gateway.stack.services.model_copy(update={"posts": posts})
        stack = gateway.stack.model_copy(update={"services": services})
        render_gateway(stack, gateway.secrets, gateway.state)

    async def instances(requests: int = 10) -> list[Any]:
        async with client_at(gateway, next(addresses)) as client:
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
