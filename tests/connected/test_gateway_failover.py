"""What a gateway does while instances die and return, whichever gateway it is."""

from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from pulse_cli.stack.gateway import Gateway
from pulse_cli.stack.model import Service, Services, Stack
from pulse_cli.targets.local.ports import isolated
from tests.connected.gateway_stand import KINDS, Running, client_at, eventually, refused, standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = {"posts-0", "posts-1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    stack = isolated(
        Stack(
            gateway=Gateway(requests_per_second=10_000),
            services=Services(posts=Service(port=8082, replicas=2)),
        )
    )
    async with standing(stack, tmp_path_factory.mktemp("failover"), request.param) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with client_at(gateway, "127.0.0.1") as fresh:
        fresh.headers.update(gateway.bearer())
        yield fresh


async def served(client: httpx.AsyncClient, requests: int = 10) -> Counter[str]:
    answers = [await client.get("/api/v1/posts") for _ in range(requests)]
    return Counter(str(a.json().get("instance", a.json().get("code"))) for a in answers)


async def whole(client: httpx.AsyncClient) -> None:
    """Wait until both instances serve."""

    async def both() -> bool:
        return set(await served(client)) == BOTH

    await eventually(both, within=60)


async def test_instances_take_turns(client: httpx.AsyncClient) -> None:
    await whole(client)
    shares = await served(client, 40)
    assert shares["posts-0"] == shares["posts-1"] == 20


async def test_an_instance_that_is_gone_costs_no_request_and_returns(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    await whole(client)
    await gateway.upstreams["posts-0"].stop()
    try:
        answers = [
            await client.request(method, "/api/v1/posts")
            for method in ("GET", "POST", "PATCH", "DELETE") * 5
        ]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["instance"] for answer in answers} == {"posts-1"}
    finally:
        await gateway.upstreams["posts-0"].start()
    await whole(client)


async def test_only_idempotent_calls_are_sent_again(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    await whole(client)
    before = sum(gateway.upstreams[name].hits for name in BOTH)
    posts = [await client.post("/api/v1/posts/fragile", json={}) for _ in range(2)]
    assert sum(gateway.upstreams[name].hits for name in BOTH) - before == 2
    assert sorted(answer.status_code for answer in posts) == [200, 503]
    refused(
        next(answer for answer in posts if answer.status_code == 503), 503, "gateway_unavailable"
    )
    await whole(client)
    gets = [await client.get("/api/v1/posts/fragile") for _ in range(4)]
    assert [answer.status_code for answer in gets] == [200] * 4
    assert {answer.json()["instance"] for answer in gets} == {"posts-1"}


async def test_a_post_with_a_key_is_sent_again_where_keys_are_honoured(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    await whole(client)
    for number in range(4):
        answer = await client.post(
            "/api/v1/posts/fragile", json={"n": number}, headers={"Idempotency-Key": "one"}
        )
        assert (answer.status_code, answer.json()["instance"]) == (200, "posts-1"), answer.text
        assert (answer.json()["method"], answer.json()["body"]) == ("POST", f'{{"n":{number}}}')


async def test_a_post_with_a_key_is_sent_once_where_keys_mean_nothing(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    users = gateway.upstreams["users-0"]
    before = users.hits
    answer = await client.post("/api/v1/auth/fragile", headers={"Idempotency-Key": "one"})
    refused(answer, 503, "gateway_unavailable")
    assert users.hits - before == 1


async def test_an_instance_that_is_too_busy_is_not_left_out(client: httpx.AsyncClient) -> None:
    await whole(client)
    for _ in range(12):
        answer = await client.get("/api/v1/posts/overloaded")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert set(await served(client)) == BOTH


async def test_a_service_that_was_gone_altogether_returns_by_itself(
    gateway: Running, client: httpx.AsyncClient
) -> None:
    for name in BOTH:
        await gateway.upstreams[name].stop()

    async def gone() -> bool:
        return set(await served(client, 4)) == {"gateway_unavailable"}

    try:
        await eventually(gone, within=60)
        refused(await client.get("/api/v1/posts"), 503, "gateway_unavailable")
    finally:
        for name in BOTH:
            await gateway.upstreams[name].start()
    await whole(client)
