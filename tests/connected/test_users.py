"""The users service: accounts, sessions and what a cache may not hide."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from services.kit.cache import open_redis
from services.users.sessions import GRACE_SECONDS
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, fresh_address, settings_of

PASSWORD = "correct horse battery"


@pytest.fixture
async def http(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    async with httpx.AsyncClient(
        base_url=f"{stack.gateway_url}/api/v1",
        transport=httpx.AsyncHTTPTransport(local_address=fresh_address()),
        timeout=WITHIN,
    ) as client:
        yield client


def _account() -> dict[str, str]:
    name = f"user_{uuid.uuid4().hex[:12]}"
    return {
        "email": f"{name}@people.example",
        "username": name,
        "password": PASSWORD,
        "display_name": "Somebody",
    }


async def _registered(http: httpx.AsyncClient) -> tuple[dict[str, str], dict[str, str]]:
    account = _account()
    answer = await http.post("/auth/register", json=account)
    assert answer.status_code == 201, answer.text
    return account, answer.json()["tokens"]


def _as(tokens: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def _refreshed(http: httpx.AsyncClient, refresh_token: str) -> tuple[int, str]:
    """The status, and the successor of a refresh token or why there is none."""
    answer = await http.post("/auth/refresh", json={"refresh_token": refresh_token})
    told = answer.json()
    return answer.status_code, told.get("refresh_token") or told["code"]


REFUSED = (401, "refresh_token_invalid")


async def test_a_refresh_whose_answer_got_lost_is_answered_again(http: httpx.AsyncClient) -> None:
    _, tokens = await _registered(http)
    first = tokens["refresh_token"]

    at_once = await asyncio.gather(*(_refreshed(http, first) for _ in range(8)))
    again = await _refreshed(http, first)

    assert {*at_once, again} == {again}
    status, second = again
    assert (status, second != first) == (200, True)
    assert (await _refreshed(http, second))[0] == 200


async def test_a_refresh_token_whose_successor_was_used_ends_its_session(
    http: httpx.AsyncClient,
) -> None:
    _, tokens = await _registered(http)
    first = tokens["refresh_token"]
    _, second = await _refreshed(http, first)
    _, third = await _refreshed(http, second)

    assert await _refreshed(http, first) == REFUSED
    assert await _refreshed(http, third) == REFUSED


async def test_a_refresh_token_that_is_used_again_later_ends_its_session(
    http: httpx.AsyncClient, stack: RunningStack
) -> None:
    _, tokens = await _registered(http)
    first = tokens["refresh_token"]
    _, second = await _refreshed(http, first)
    key = f"users:session:{first.partition('.')[0]}"
    async with open_redis(settings_of("users", stack.stack, stack.state)) as redis:
        await redis.hincrbyfloat(key, "used_at", -GRACE_SECONDS - 1)

    assert await _refreshed(http, first) == REFUSED
    assert await _refreshed(http, second) == REFUSED


async def test_a_refresh_token_that_was_made_up_ends_the_session_it_names(
    http: httpx.AsyncClient,
) -> None:
    _, tokens = await _registered(http)
    first = tokens["refresh_token"]

    assert await _refreshed(http, f"{first}x") == REFUSED
    assert await _refreshed(http, first) == REFUSED


async def test_logging_out_ends_one_session_only(http: httpx.AsyncClient) -> None:
    account, first = await _registered(http)
    login = {"login": account["email"], "password": PASSWORD}
    second = (await http.post("/auth/login", json=login)).json()

    assert (await http.post("/auth/logout", headers=_as(first))).status_code == 204

    ended = await http.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    alive = await http.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert (ended.status_code, alive.status_code) == (401, 200)
    assert (await http.get("/auth/session", headers=_as(first))).status_code == 404


async def test_concurrent_registrations_make_one_account(http: httpx.AsyncClient) -> None:
    account = _account()

    answers = await asyncio.gather(*(http.post("/auth/register", json=account) for _ in range(6)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"email": "a@b\x00.example"}, "email"),
        ({"username": "a"}, "username"),
        ({"username": "../etc"}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"display_name": "   "}, "display_name"),
        ({"display_name": 7}, "display_name"),
        ({"is_admin": True}, "is_admin"),
    ],
)
async def test_a_bad_registration_names_its_field(
    http: httpx.AsyncClient, change: dict[str, object], field: str
) -> None:
    answer = await http.post("/auth/register", json=_account() | change)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("login", ["\x00", "a\x00b", "nobody", "' OR 1=1 --", "é" * 200])
async def test_an_odd_login_is_only_wrong(http: httpx.AsyncClient, login: str) -> None:
    answer = await http.post("/auth/login", json={"login": login, "password": PASSWORD})

    assert answer.status_code in {401, 422}


async def test_the_import_endpoint_is_not_public(
    http: httpx.AsyncClient, stack: RunningStack
) -> None:
    _, tokens = await _registered(http)
    body = {"password": PASSWORD, "users": []}
    direct = f"http://127.0.0.1:{stack.stack.instance_port('users', 0)}/internal/import"

    routed = await http.post("/internal/import", json=body, headers=_as(tokens))
    unsigned = await http.post(direct, json=body)
    signed_by_a_user = await http.post(direct, json=body, headers=_as(tokens))

    assert [a.status_code for a in (routed, unsigned, signed_by_a_user)] == [404, 401, 401]


async def test_a_service_checks_tokens_itself(stack: RunningStack) -> None:
    port = stack.stack.instance_port("users", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as behind:
        forged = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
        assert (await behind.get("/users/me")).status_code == 401
        assert (await behind.get("/users/me", headers=forged)).status_code == 401
