"""The users service: accounts, sessions and what a cache may not hide."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import RunningStack

PASSWORD = "correct horse battery"


@pytest.fixture
async def http(stack: RunningStack) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway."""
    async with httpx.AsyncClient(base_url=f"{stack.gateway_url}/api/v1") as client:
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


async def test_a_used_refresh_token_ends_its_session(http: httpx.AsyncClient) -> None:
    _, tokens = await _registered(http)
    first = {"refresh_token": tokens["refresh_token"]}

    renewed = await http.post("/auth/refresh", json=first)
    replayed = await http.post("/auth/refresh", json=first)
    stolen = await http.post(
        "/auth/refresh", json={"refresh_token": renewed.json()["refresh_token"]}
    )

    assert [renewed.status_code, replayed.status_code, stolen.status_code] == [200, 401, 401]
    assert stolen.json()["code"] == "refresh_token_invalid"


async def test_of_concurrent_refreshes_at_most_one_succeeds(http: httpx.AsyncClient) -> None:
    _, tokens = await _registered(http)
    body = {"refresh_token": tokens["refresh_token"]}

    answers = await asyncio.gather(*(http.post("/auth/refresh", json=body) for _ in range(8)))

    assert sum(answer.status_code == 200 for answer in answers) == 1


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
