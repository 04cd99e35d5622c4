"""Tokens from elsewhere: a token source, a bare token, and what is neither."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pytest

from pulse_sdk import InvalidInput, NotAuthenticated, Pulse, Tokens
from pulse_sdk import auth as auth_module
from tests.unit.sdk_accounts import Accounts, Clock, jwt
from tests.unit.sdk_support import ID, POST, Caller, Server


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth_module, "time", clock)
    return clock


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
