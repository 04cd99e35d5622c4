"""Who may act in a bench: logging seeded users in through a gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from pulse_cli.bench.identities import Seed, SeededUser, log_in, read_seed
from pulse_cli.errors import ConfigError, NotHealthy

SEED = Seed([SeededUser(id=UUID(int=i), username=f"u{i}") for i in range(9)], SecretStr("secret"))
PEERS = web.AppKey("peers", set[str])
REFUSED = web.AppKey("refused", list[None])
"""As many log-ins are too many."""


async def _login(request: web.Request) -> web.Response:
    request.app[PEERS].add(str(request.remote))
    if request.app[REFUSED]:
        request.app[REFUSED].pop()
        return web.json_response({}, status=429)
    given = await request.json()
    if given["password"] != "secret":
        problem = {"title": "no", "status": 401, "code": "bad_credentials"}
        return web.json_response(problem, status=401)
    tokens = {"access_token": given["login"], "refresh_token": "r", "expires_in": 100}
    return web.json_response(tokens)


@pytest.fixture
async def gateway() -> AsyncIterator[TestServer]:
    app = web.Application()
    app[PEERS] = set()
    app[REFUSED] = []
    app.router.add_post("/api/v1/auth/login", _login)
    server = TestServer(app)
    async with server:
        yield server


async def _log_in(server: TestServer, seed: Seed, lasting: float = 60) -> list[str]:
    assert server.port is not None
    done: list[None] = []
    found = await log_in(
        seed, 9, ("127.0.0.1", server.port), lasting=lasting, advance=lambda: done.append(None)
    )
    assert len(done) == 9
    return [identity.token.get_secret_value() for identity in found]


async def test_each_user_gets_its_own_token_in_order(gateway: TestServer) -> None:
    assert await _log_in(gateway, SEED) == [f"u{i}" for i in range(9)]
    assert len(gateway.app[PEERS]) == 9, "as many clients, so that no rate limit is met"


async def test_too_many_at_once_wait(gateway: TestServer) -> None:
    gateway.app[REFUSED].extend([None] * 3)
    assert await _log_in(gateway, SEED) == [f"u{i}" for i in range(9)]
    assert not gateway.app[REFUSED]


async def test_tokens_that_end_before_the_run_are_refused(gateway: TestServer) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match="tokens live 100 s")):
        await _log_in(gateway, Seed(SEED.users[:1], SEED.password), lasting=100)


async def test_a_refused_password_says_what_mends_it(gateway: TestServer) -> None:
    seed = Seed(SEED.users[:1], SecretStr("other"))
    refused = "cannot log in the seeded user u0: 401 bad_credentials; seed the stack"
    with pytest.RaisesGroup(pytest.RaisesExc(NotHealthy, match=refused)):
        await _log_in(gateway, seed)


@pytest.mark.parametrize("record", ["{}", "not json", json.dumps({"users": []})])
def test_a_record_that_names_nobody_is_no_seed(tmp_path: Path, record: str) -> None:
    (tmp_path / "secrets" / "operator").mkdir(parents=True)
    (tmp_path / "secrets" / "operator" / "seed_password").write_text("secret")
    (tmp_path / "seed.json").write_text(record)
    with pytest.raises(NotHealthy, match="seed the stack with"):
        read_seed(tmp_path)
