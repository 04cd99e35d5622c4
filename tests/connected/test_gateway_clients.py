"""Who may ask a gateway, and how often: tokens, addresses, proxies."""

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from pulse_cli.stack.gateway import FORGED
from pulse_cli.stack.model import ROUTES
from pulse_sdk.contract.messaging import SUBPROTOCOL
from tests.connected.gateway_policies import RATE, policed
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


async def until_refused(
    client: httpx.AsyncClient, *headers: dict[str, str]
) -> list[httpx.Response]:
    """Ask in crowds until somebody is refused: a busy machine may be slow to exceed the rate."""
    shown, answers = itertools.cycle(headers or ({},)), list[httpx.Response]()
    async with asyncio.timeout(60):
        while all(answer.status_code != 429 for answer in answers):
            crowd = (client.get("/health/posts", headers=next(shown)) for _ in range(4 * RATE))
            answers += await asyncio.gather(*crowd)
    return answers


async def test_each_client_address_has_its_own_budget(gateway: Running) -> None:
    async with client_at(gateway, fresh_address()) as greedy:
        async with client_at(gateway, fresh_address()) as modest:
            began = time.monotonic()
            answers = await until_refused(greedy)
            refills = int(time.monotonic() - began) + 1
            assert (await modest.get("/health/posts")).status_code == 200
        over = [a for a in answers if a.status_code == 429]
        assert RATE <= len(answers) - len(over) <= (1 + refills) * RATE
        refused(over[0], 429, "gateway_rate_limited")
        assert over[0].headers["retry-after"] == "1"
        forged = {"X-Forwarded-For": "10.1.1.1", "X-Envoy-External-Address": "10.1.1.1"}
        await until_refused(greedy, forged)

        async def recovered() -> bool:
            return (await greedy.get("/health/posts")).status_code == 200

        await eventually(recovered)


async def test_a_denied_address_is_refused(gateway: Running) -> None:
    async with client_at(gateway, "127.9.0.7") as denied:
        refused(await denied.get("/health/posts"), 403, "gateway_forbidden")


async def test_forged_headers_do_not_reach_a_service(gateway: Running) -> None:
    address = fresh_address()
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
        one = [{"X-Forwarded-For": f"10.0.0.{i}, 203.0.113.9"} for i in range(250)]
        await until_refused(client, *one)
    async with client_at(gateway, "127.7.0.2") as stranger:
        assert (await stranger.get("/health/posts", headers=denied)).status_code == 200


async def test_a_browser_shows_its_token_among_the_protocols_it_offers(gateway: Running) -> None:
    def offering(path: str, token: str) -> connect:
        return connect(
            f"ws://127.0.0.1:{gateway.stack.gateway.port}/api/v1/{path}",
            subprotocols=[Subprotocol(SUBPROTOCOL), Subprotocol(f"bearer.{token}")],
            local_addr=(fresh_address(), 0),
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
