"""Logging in, staying logged in, and tokens that were stored; on both clients alike."""

from __future__ import annotations

import asyncio
import pickle
import traceback

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
from tests.unit.sdk_accounts import Accounts, Clock, jwt, log_in
from tests.unit.sdk_support import ID, QUICK, Caller, Server, tokens


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth_module, "time", clock)
    return clock


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


async def test_who_forgot_to_log_in_is_told(caller: Caller) -> None:
    client = caller.client(Accounts())
    with pytest.raises(NotAuthenticated) as caught:
        await caller.do(client.posts.get(ID))
    assert caught.value.__notes__ == [
        "This client has no token: log in with it, or make it with one."
    ]


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


async def test_a_refresh_token_that_is_none_is_told(caller: Caller) -> None:
    wrong = Tokens.model_validate({**tokens(0), "refresh_token": "x" * 201})
    client = caller.client(Server(httpx.Response(401)), token=wrong)
    with pytest.raises(InvalidInput, match=r"refresh_token: .*at most 200"):
        await caller.do(client.posts.get(ID))


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
