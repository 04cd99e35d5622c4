"""Tokens: kept, refreshed once, shown nowhere; on both clients alike."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import SecretStr

from pulse_sdk import AsyncPulse, NotAuthenticated
from pulse_sdk.contract.users import Tokens
from tests.unit.sdk_support import ID, NOW, POST, QUICK, Caller, Server, tokens

SESSION = {"id": ID, "created_at": NOW, "expires_at": NOW, "last_used_at": NOW, "current": True}


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


async def test_a_log_in_leaves_its_tokens_and_a_log_out_takes_them(caller: Caller) -> None:
    server = Server(
        httpx.Response(200, json=tokens(1)),
        httpx.Response(200, json=SESSION),
        httpx.Response(204),
        httpx.Response(401),
    )
    client = caller.client(server, token="old")
    await caller.do(client.auth.login("ada", "password-1"))
    await caller.do(client.auth.session())
    await caller.do(client.auth.logout())
    with pytest.raises(NotAuthenticated):
        await caller.do(client.auth.session())
    sent = [request.headers.get("Authorization") for request in server.requests]
    assert sent == [None, "Bearer access-1", "Bearer access-1", None]


class TokenServer:
    """Takes the newest access token only; a refresh token works once."""

    def __init__(self) -> None:
        self.generation = 1
        self.refreshes = 0
        self.refused_refresh = False
        self.delay = 0.0
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/refresh"):
            with self._lock:
                self.refreshes += 1
                offered = json.loads(request.content)["refresh_token"]
                if self.refused_refresh or offered != f"refresh-{self.generation - 1}":
                    return httpx.Response(401)
                return httpx.Response(200, json=tokens(self.generation))
        if request.headers.get("Authorization") == f"Bearer access-{self.generation}":
            return httpx.Response(201 if request.method == "POST" else 200, json=POST)
        return httpx.Response(401, json={"title": "No", "status": 401, "code": "token_expired"})


async def test_a_401_refreshes_and_sends_again_even_what_is_not_idempotent(caller: Caller) -> None:
    server = TokenServer()
    client = caller.client(server, token=Tokens.model_validate(tokens(0)))
    await caller.do(client.posts.create("hello"))
    assert client.credentials.access_token == SecretStr("access-1")
    assert server.refreshes == 1


async def test_a_refused_refresh_raises_the_401_and_is_not_tried_again(caller: Caller) -> None:
    server = TokenServer()
    server.refused_refresh = True
    client = caller.client(server, token=Tokens.model_validate(tokens(0)))
    for _ in range(2):
        with pytest.raises(NotAuthenticated) as caught:
            await caller.do(client.posts.get(ID))
        assert caught.value.code == "token_expired"
    assert server.refreshes == 1


async def test_a_refresh_that_does_not_help_is_done_once(caller: Caller) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/refresh"):
            return httpx.Response(200, json=tokens(2))
        seen.append(request)
        return httpx.Response(401)

    seen: list[httpx.Request] = []
    client = caller.client(handler, token=Tokens.model_validate(tokens(0)))
    with pytest.raises(NotAuthenticated) as caught:
        await caller.do(client.posts.get(ID))
    assert caught.value.attempts == len(seen) == 2


async def test_a_stored_refresh_token_resumes_a_session(caller: Caller) -> None:
    client = caller.client(TokenServer())
    await caller.do(client.auth.refresh("refresh-0"))
    assert (await caller.do(client.posts.get(ID))).text == "hello"


async def test_tasks_that_meet_an_expired_token_refresh_once() -> None:
    server = TokenServer()

    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return server(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    client = AsyncPulse(
        "http://pulse", token=Tokens.model_validate(tokens(0)), http_client=http, retries=QUICK
    )
    posts = await asyncio.gather(*(client.posts.get(ID) for _ in range(50)))
    assert len(posts) == 50
    assert server.refreshes == 1


def test_threads_that_meet_an_expired_token_refresh_once() -> None:
    server = TokenServer()
    client = Caller("sync").client(server, token=Tokens.model_validate(tokens(0)))
    with ThreadPoolExecutor(8) as pool:
        posts = list(pool.map(lambda _: client.posts.get(ID), range(50)))
    assert len(posts) == 50
    assert server.refreshes == 1


async def test_a_cancelled_call_does_not_lose_the_refreshed_tokens() -> None:
    server = TokenServer()
    refreshing, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        if request.url.path.endswith("/auth/refresh"):
            refreshing.set()
            await go_on.wait()
        return answer

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    client = AsyncPulse("http://pulse", token=Tokens.model_validate(tokens(0)), http_client=http)
    first, second = (asyncio.create_task(client.posts.get(ID)) for _ in range(2))
    await refreshing.wait()
    first.cancel()
    go_on.set()
    assert (await second).text == "hello"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert server.refreshes == 1


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


async def test_secrets_are_in_no_repr_log_or_error(
    caller: Caller, everything_logged: pytest.LogCaptureFixture
) -> None:
    server = Server(
        httpx.Response(200, json=tokens(1)),
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(200, json=POST),
        httpx.Response(401),
    )
    client = caller.client(server)
    got = await caller.do(client.auth.login("ada", "password-1"))
    await caller.do(client.posts.get(ID))
    with pytest.raises(NotAuthenticated) as caught:
        await caller.do(client.posts.get(ID))
    shown = " ".join(
        [
            everything_logged.text,
            repr(client),
            repr(client.credentials),
            repr(client.flow),
            repr(got),
            repr(caught.value),
        ]
    )
    assert "next attempt in" in everything_logged.text
    for secret in "access-1", "refresh-1", "password-1":
        assert secret not in shown
