"""Logging in, renewing before expiry, sources of tokens, storing them; on both clients alike."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pulse_sdk import (
    AsyncPulse,
    ConnectionFailed,
    InvalidInput,
    NotAuthenticated,
    Pulse,
    ServerError,
    Tokens,
)
from pulse_sdk import auth as auth_module
from tests.unit.sdk_support import ID, POST, QUICK, Caller, Server, tokens


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth_module, "time", clock)
    return clock


class Clock:
    """The time as `auth` sees it; the wall clock may be wrong."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wall = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


def jwt(**claims: Any) -> str:
    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


class Accounts:
    """Logs anybody in and gives posts to the newest token; each refresh token works once."""

    def __init__(self) -> None:
        self.generation = 0
        self.seen: list[str] = []
        self.failing = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.seen.append(path)
        if path == "/auth/logout":
            return httpx.Response(204)
        if path.startswith("/auth/"):
            if self.failing:
                self.failing -= 1
                return httpx.Response(503)
            asked = json.loads(request.content)
            if path == "/auth/refresh" and asked["refresh_token"] != f"refresh-{self.generation}":
                return httpx.Response(401)
            self.generation += 1
            return httpx.Response(200, json=tokens(self.generation))
        if request.headers.get("Authorization") != f"Bearer access-{self.generation}":
            return httpx.Response(401)
        return httpx.Response(200, json=POST)


async def log_in(caller: Caller, handler: Callable[..., httpx.Response], **options: Any) -> Any:
    transport = httpx.MockTransport(handler)
    if caller.kind == "sync":
        http = httpx.Client(transport=transport)
        return Pulse.login("http://pulse", "ada", "password-1", http_client=http, **options)
    async_http = httpx.AsyncClient(transport=transport)
    return await AsyncPulse.login(
        "http://pulse", "ada", "password-1", http_client=async_http, **options
    )


async def test_login_gives_a_client_that_acts_as_the_account(caller: Caller) -> None:
    client = await log_in(caller, Accounts())
    assert (await caller.do(client.posts.get(ID))).text == "hello"
    assert client.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_an_async_login_may_be_the_block_itself() -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(Accounts()))
    async with AsyncPulse.login("http://pulse", "ada", "password-1", http_client=http) as client:
        assert (await client.posts.get(ID)).text == "hello"
    with pytest.raises(InvalidInput, match="password"):
        async with AsyncPulse.login("http://pulse", "ada", "x" * 200, http_client=http):
            pass


async def test_a_refused_login_raises_and_shows_no_password(caller: Caller) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await log_in(caller, Server(httpx.Response(401)))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "pulse_sdk" in frame.filename]
    assert len(ours) > 3
    for frame in ours:
        assert "password-1" not in str(frame.locals)


async def test_tokens_are_renewed_before_they_expire(caller: Caller, clock: Clock) -> None:
    accounts = Accounts()
    client = await log_in(caller, accounts)
    clock.pass_(839)
    await caller.do(client.posts.get(ID))
    assert accounts.generation == 1
    clock.pass_(2)  # of 900 seconds, less than 60 are left
    await caller.do(client.posts.get(ID))
    assert accounts.seen[-2:] == ["/auth/refresh", f"/posts/{ID}"]
    assert accounts.generation == 2


async def test_a_renewal_that_fails_early_ends_no_call_and_is_tried_again(
    caller: Caller, clock: Clock
) -> None:
    accounts = Accounts()
    client = await log_in(caller, accounts, retries=QUICK)
    clock.pass_(845)
    accounts.failing = attempts = QUICK.limit + 1
    await caller.do(client.posts.get(ID))
    await caller.do(client.posts.get(ID))
    assert accounts.seen.count("/auth/refresh") == attempts
    clock.pass_(6)
    await caller.do(client.posts.get(ID))
    assert (accounts.seen.count("/auth/refresh"), accounts.generation) == (attempts + 1, 2)


@pytest.mark.parametrize("wrong_by", [-86_400, 86_400])
async def test_a_wrong_clock_neither_renews_too_often_nor_too_late(
    caller: Caller, clock: Clock, wrong_by: float
) -> None:
    accounts = Accounts()
    clock.wall += wrong_by
    client = await log_in(caller, accounts)
    for _ in range(3):
        await caller.do(client.posts.get(ID))
    assert accounts.seen.count("/auth/refresh") == 0
    clock.pass_(845)
    await caller.do(client.posts.get(ID))
    assert accounts.seen.count("/auth/refresh") == 1


@pytest.mark.parametrize("wrong_by", [-86_400, 86_400])
async def test_stored_tokens_are_resumed_whatever_the_clock_says(
    caller: Caller, clock: Clock, wrong_by: float
) -> None:
    issued = clock.wall
    stored = Tokens.model_validate(
        {
            "access_token": jwt(iat=issued, exp=issued + 900),
            "refresh_token": "refresh-0",
            "expires_in": 900,
        }
    )
    accounts = Accounts()
    clock.wall += wrong_by
    client = caller.client(accounts, token=stored)
    for _ in range(3):
        await caller.do(client.posts.get(ID))
    assert accounts.seen.count("/auth/refresh") == 1


async def test_tokens_survive_being_stored_as_text(caller: Caller, clock: Clock) -> None:
    accounts = Accounts()
    stored: list[Tokens | None] = []
    client = await log_in(caller, accounts, on_tokens=stored.append)
    clock.pass_(600)
    assert client.tokens.expires_in == 300
    text = client.tokens.model_dump_json()
    assert "refresh-1" in text and "refresh-1" not in repr(client.tokens)
    resumed = caller.client(
        accounts, token=Tokens.model_validate_json(text), on_tokens=stored.append
    )
    clock.pass_(299)
    await caller.do(resumed.posts.get(ID))
    await caller.do(resumed.auth.logout())
    assert [found and found.refresh_token.get_secret_value() for found in stored] == [
        "refresh-1",
        "refresh-2",
        None,
    ]
    assert resumed.tokens is None


async def test_an_async_store_is_awaited() -> None:
    stored = []

    async def store(tokens: Tokens | None) -> None:
        await asyncio.sleep(0)
        assert tokens is not None
        stored.append(tokens)

    client = await log_in(Caller("async"), Accounts(), on_tokens=store)
    assert [tokens.access_token for tokens in stored] == [client.tokens.access_token]


async def test_a_store_that_fails_ends_the_call_but_loses_no_tokens(caller: Caller) -> None:
    def store(tokens: Tokens | None) -> None:
        raise OSError("disk full")

    accounts = Accounts()
    client = caller.client(accounts, on_tokens=store)
    with pytest.raises(OSError, match="disk full"):
        await caller.do(client.auth.login("ada", "password-1"))
    assert (await caller.do(client.posts.get(ID))).text == "hello"


class Source:
    """Gives tokens of growing numbers, as JWTs when they are to expire."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.asked: list[str | None] = []
        self.clock = clock
        self.error: Exception | None = None

    def token(self, refused: str | None) -> str:
        self.asked.append(refused)
        if self.error is not None:
            raise self.error
        if self.clock is None:
            return f"access-{len(self.asked)}"
        return jwt(n=len(self.asked), iat=self.clock.wall, exp=self.clock.wall + 100)


class AsyncSource(Source):
    async def token(self, refused: str | None) -> str:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().token(refused)


@pytest.fixture(params=["sync", "async", "async from sync"])
def sourced(request: pytest.FixtureRequest) -> tuple[Caller, type[Source]]:
    kind = request.param
    return Caller(kind.partition(" ")[0]), AsyncSource if kind == "async" else Source


async def test_a_source_is_asked_once_and_again_when_its_token_is_refused(
    sourced: tuple[Caller, type[Source]],
) -> None:
    caller, kind = sourced
    accounts, source = Accounts(), kind()
    accounts.generation = 1
    client = caller.client(accounts, token=source)
    for _ in range(2):
        await caller.do(client.posts.get(ID))
    assert source.asked == [None]
    accounts.generation = 2
    await caller.do(client.posts.get(ID))
    assert source.asked == [None, "access-1"]
    accounts.generation = 9
    with pytest.raises(NotAuthenticated):
        await caller.do(client.posts.get(ID))
    assert source.asked == [None, "access-1", "access-2"]
    assert "a token source" in repr(client)


async def test_a_source_is_asked_before_its_token_expires(caller: Caller, clock: Clock) -> None:
    source = Source(clock)
    client = caller.client(Server(httpx.Response(200, json=POST)), token=source)
    for seconds, asked in [(0, 1), (79, 1), (2, 2), (1, 2)]:
        clock.pass_(seconds)
        await caller.do(client.posts.get(ID))
        assert len(source.asked) == asked


async def test_a_source_whose_tokens_seem_expired_is_not_asked_for_each_call(
    caller: Caller, clock: Clock
) -> None:
    source = Source(Clock())
    clock.wall += 86_400
    client = caller.client(Server(httpx.Response(200, json=POST)), token=source)
    for _ in range(3):
        await caller.do(client.posts.get(ID))
    assert source.asked == [None]


async def test_what_a_source_raises_ends_the_call_when_there_is_no_token(
    caller: Caller, clock: Clock
) -> None:
    source = Source(clock)
    source.error = RuntimeError("the vault is sealed")
    client = caller.client(Server(httpx.Response(200, json=POST)), token=source)
    with pytest.raises(RuntimeError, match="sealed"):
        await caller.do(client.posts.get(ID))
    source.error = None
    await caller.do(client.posts.get(ID))
    source.error = RuntimeError("the vault is sealed")
    clock.pass_(90)
    await caller.do(client.posts.get(ID))
    assert len(source.asked) == 3


async def test_a_log_in_takes_the_place_of_a_source(caller: Caller) -> None:
    source = Source()
    client = caller.client(Accounts(), token=source)
    await caller.do(client.auth.login("ada", "password-1"))
    await caller.do(client.posts.get(ID))
    assert source.asked == []


async def test_a_store_that_fails_in_a_renewal_is_told(caller: Caller, clock: Clock) -> None:
    fails = False

    def store(tokens: Tokens | None) -> None:
        if fails:
            raise OSError("disk full")

    accounts = Accounts()
    client = await log_in(caller, accounts, on_tokens=store)
    clock.pass_(850)
    fails = True
    with pytest.raises(OSError, match="disk full"):
        await caller.do(client.posts.get(ID))
    await caller.do(client.posts.get(ID))
    assert accounts.generation == 2


def test_what_only_tasks_can_use_is_refused_by_a_blocking_client() -> None:
    async def store(tokens: Tokens | None) -> None: ...

    with pytest.raises(InvalidInput, match="AsyncPulse"):
        Pulse("http://pulse", token=AsyncSource())  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="AsyncPulse"):
        Pulse("http://pulse", on_tokens=store)


async def test_a_source_that_gives_no_token_is_told(caller: Caller) -> None:
    class Empty:
        def token(self, refused: str | None) -> str:
            return None  # type: ignore[return-value]

    client = caller.client(Server(httpx.Response(200, json=POST)), token=Empty())
    with pytest.raises(InvalidInput, match="token: must be visible"):
        await caller.do(client.posts.get(ID))


async def test_a_refresh_token_that_is_none_is_told(caller: Caller) -> None:
    wrong = Tokens.model_validate({**tokens(0), "refresh_token": "x" * 201})
    client = caller.client(Server(httpx.Response(401)), token=wrong)
    with pytest.raises(InvalidInput, match=r"refresh_token: .*at most 200"):
        await caller.do(client.posts.get(ID))


def test_what_is_no_token_is_refused() -> None:
    for token in 7, b"token", object():
        with pytest.raises(InvalidInput, match=r"token: must be"):
            Pulse("http://pulse", token=token)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b",
        "a.b.c.d",
        "a.!!!.c",
        "a.bm90IGpzb24.c",
        jwt(),
        jwt(exp="soon"),
        jwt(exp=float("inf")),
        jwt(iat=5, exp=3),
        jwt(exp=1),
        "a." + base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=") + ".c",
        "a.MQ.c",
    ],
)
async def test_a_foreign_or_expired_token_is_for_the_server_to_refuse(
    caller: Caller, token: str
) -> None:
    server = Server(httpx.Response(401, json={"title": "", "status": 401, "code": "token_invalid"}))
    with pytest.raises(NotAuthenticated) as caught:
        await caller.do(caller.client(server, token=token).posts.get(ID))
    assert caught.value.code == "token_invalid"
    assert len(server.requests) == 1


async def test_a_refresh_that_fails_after_a_401_says_why(caller: Caller) -> None:
    accounts = Accounts()
    accounts.generation, accounts.failing = 5, 9
    client = caller.client(accounts, token=Tokens.model_validate(tokens(4)), retries=QUICK)
    with pytest.raises(ServerError):
        await caller.do(client.posts.get(ID))
    assert client.tokens is not None


async def test_a_server_that_cannot_be_reached_is_tried_again_even_for_a_log_in(
    caller: Caller,
) -> None:
    server = Server(httpx.ConnectError("refused"), httpx.Response(200, json=tokens(1)))
    await log_in(caller, server, retries=QUICK)
    assert len(server.requests) == 2
    broken = Server(httpx.ReadError("broke"), httpx.Response(200, json=tokens(1)))
    with pytest.raises(ConnectionFailed):
        await log_in(caller, broken, retries=QUICK)
    assert len(broken.requests) == 1


def test_credentials_are_not_pickled() -> None:
    with Pulse("http://pulse", token="very-secret") as client:
        with pytest.raises(TypeError, match=r"client\.tokens"):
            pickle.dumps(client.credentials)
        with pytest.raises(TypeError):
            vars(client.credentials)
