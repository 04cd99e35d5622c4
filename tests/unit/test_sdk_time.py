"""Timeouts, deadlines, views with other options and the circuit breaker, on both clients alike."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pulse_sdk import (
    AsyncPulse,
    Backoff,
    Breaker,
    BreakerPolicy,
    CircuitOpen,
    ConnectionFailed,
    InvalidInput,
    NotFound,
    Pulse,
    Retries,
    ServerError,
    TimedOut,
    Tokens,
    _flow,
)
from tests.unit.sdk_support import ID, POST, Caller, Server, tokens

SLOW = Retries(limit=5, backoff=Backoff(first=60, most=60), retry_after_cap=60)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def timeouts(request: httpx.Request) -> dict[str, float | None]:
    return dict(request.extensions["timeout"])


async def test_a_view_makes_its_calls_differently_and_shares_the_rest(caller: Caller) -> None:
    server = Server(httpx.Response(503), httpx.Response(200, json=POST))
    client = caller.client(server, token="t", headers={"X-Team": "bots"}, timeout=7)
    view = client.with_options(timeout=1.5, retries=0, headers={"X-Job": "digest"})
    with pytest.raises(ServerError):
        await caller.do(view.posts.get(ID))
    await caller.do(client.posts.get(ID))
    of_view, of_client = server.requests
    assert type(view) is type(client)
    assert view.credentials is client.credentials
    assert [timeouts(request)["read"] for request in server.requests] == [1.5, 7]
    assert [request.headers.get("X-Job") for request in server.requests] == ["digest", None]
    assert of_view.headers["X-Team"] == of_client.headers["X-Team"] == "bots"
    assert of_view.headers["Authorization"] == "Bearer t"


async def test_a_log_in_on_a_view_is_one_on_its_client(caller: Caller) -> None:
    client = caller.client(Server(httpx.Response(200, json=tokens(1))))
    assert client.posts is client.posts
    view = client.with_options(timeout=1)
    await caller.do(view.auth.login("ada", "password-1"))
    assert client.tokens is not None
    assert view.posts is not client.posts


async def test_a_view_of_a_view_keeps_what_is_not_changed(caller: Caller) -> None:
    server = Server(httpx.Response(404))
    view = caller.client(server).with_options(timeout=3, headers={"A": "1", "b": "1"})
    view = view.with_options(headers={"B": "2"})
    with pytest.raises(NotFound):
        await caller.do(view.posts.get(ID))
    (request,) = server.requests
    assert timeouts(request) == dict.fromkeys(["connect", "read", "write", "pool"], 3)
    assert (request.headers["A"], request.headers["B"]) == ("1", "2")


def closed(client: Pulse | AsyncPulse) -> bool:
    return client._connection._http.is_closed


async def test_closing_a_view_leaves_its_client_open() -> None:
    with Pulse("http://pulse") as client:
        with client.with_options(timeout=1):
            pass
        assert not closed(client)
    assert closed(client)
    async with AsyncPulse("http://pulse") as asynchronous:
        async with asynchronous.with_options(timeout=1):
            pass
        assert not closed(asynchronous)
    assert closed(asynchronous)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": math.nan},
        {"timeout": "1"},
        {"timeout": True},
        {"deadline": 0},
        {"deadline": math.nan},
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"headers": {"Authorization": "very-secret"}},
        {"headers": {"idempotency-key": "1"}},
        {"headers": {"X Y": "1"}},
        {"headers": {"X": "very-secret\r\nY: 1"}},
        {"headers": {"X": ""}},
        {"headers": {"X": 1}},
        {"headers": {1: "X"}},
    ],
    ids=str,
)
def test_options_that_cannot_be_used_are_refused_and_not_shown(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidInput, match=f"^{name}: ") as caught:
        Pulse("http://pulse", **options)
    assert "very-secret" not in f"{caught.value} {caught.value!r}"
    with Pulse("http://pulse") as client, pytest.raises(InvalidInput):
        client.with_options(**options)


def test_timeouts_may_be_those_of_httpx_or_none() -> None:
    server = Server(httpx.Response(204))
    transport = httpx.MockTransport(server)
    http = httpx.Client(transport=transport, timeout=httpx.Timeout(9, connect=2))
    client = Pulse("http://pulse", http_client=http)
    for view in (
        client,
        client.with_options(timeout=math.inf),
        client.with_options(timeout=httpx.Timeout(4, pool=None)),
        client.with_options(deadline=1e300, timeout=1e300),
    ):
        view.posts.delete(ID)
    found = [
        (timeouts(request)["connect"], timeouts(request)["pool"]) for request in server.requests
    ]
    assert found == [(2, 9), (None, None), (4, None), (None, None)]


async def test_no_wait_reaches_past_the_deadline(caller: Caller) -> None:
    for status in 429, 503:
        server = Server(httpx.Response(status, headers={"Retry-After": "50"}))
        client = caller.client(server, retries=SLOW, deadline=20)
        with pytest.raises(Exception, match="1 attempt") as caught:
            await caller.do(client.posts.get(ID))
        assert caught.value.status == status  # type: ignore[attr-defined]


async def test_a_deadline_shortens_the_timeouts(caller: Caller) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(timeouts(request))
        return httpx.Response(404)

    client = caller.client(
        handler, timeout=httpx.Timeout(3000, connect=0.5, pool=None), deadline=900
    )
    with pytest.raises(NotFound):
        await caller.do(client.posts.get(ID))
    assert seen[0]["connect"] == 0.5
    assert 800 < (seen[0]["read"] or 0) <= 900 and 800 < (seen[0]["pool"] or 0) <= 900


class Dripping(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer that never ends, a byte at a time."""

    def __iter__(self) -> Any:
        while True:
            time.sleep(0.01)
            yield b" "

    async def __aiter__(self) -> Any:
        while True:
            await asyncio.sleep(0.01)
            yield b" "


async def test_an_answer_that_drips_ends_at_the_deadline(caller: Caller) -> None:
    client = caller.client(lambda _: httpx.Response(200, stream=Dripping()), deadline=0.2)
    with pytest.raises(TimedOut, match="before the deadline") as caught:
        await caller.do(client.posts.get(ID))
    assert isinstance(caught.value, TimeoutError | ConnectionFailed)
    assert (caught.value.attempts, caught.value.status, caught.value.code) == (1, None, "timed_out")
    assert caught.value.correlation_id


async def test_a_deadline_ends_the_wait_for_new_tokens_but_not_the_renewal() -> None:
    go_on = asyncio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/refresh"):
            await go_on.wait()
            return httpx.Response(200, json=tokens(1))
        if request.headers["Authorization"] == "Bearer access-0":
            return httpx.Response(401)
        return httpx.Response(200, json=POST)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    client = AsyncPulse("http://pulse", token=Tokens.model_validate(tokens(0)), http_client=http)
    with pytest.raises(TimedOut, match="no new access token before the deadline"):
        await client.with_options(deadline=0.5).posts.get(ID)
    go_on.set()
    assert (await client.posts.get(ID)).text == "hello"


def test_a_deadline_ends_the_wait_for_a_thread_that_renews() -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Slow:
        def token(self, refused: str | None) -> str:
            asked.set()
            assert go_on.wait(30)
            return "t"

    client = Caller("sync").client(Server(httpx.Response(200, json=POST)), token=Slow())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.posts.get, ID)
        assert asked.wait(30)
        with pytest.raises(TimedOut, match="no new access token before the deadline"):
            client.with_options(deadline=0.5).posts.get(ID)
        go_on.set()
        assert first.result().text == "hello"


async def test_a_breaker_stops_calls_and_lets_one_through_later(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(_flow, "monotonic", lambda: now)
    server = Server(*[httpx.ConnectError("refused")] * 4, httpx.Response(200, json=POST))
    client = caller.client(server, breaker=Breaker(BreakerPolicy(at_least=2)), retries=1)
    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            await caller.do(client.posts.get(ID))
    now = 110
    with pytest.raises(CircuitOpen, match="failed too often") as caught:
        await caller.do(client.with_options(timeout=1).posts.get(ID))
    assert (caught.value.attempts, caught.value.code) == (0, "circuit_open")
    assert caught.value.retry_after == 20
    assert len(server.requests) == 4
    now = 131
    for _ in range(2):
        await caller.do(client.posts.get(ID))
    assert len(server.requests) == 6


async def test_what_the_caller_did_wrong_opens_no_breaker(caller: Caller) -> None:
    breaker = Breaker(BreakerPolicy(at_least=1))
    client = caller.client(Server(httpx.Response(404)), breaker=breaker)
    for _ in range(5):
        with pytest.raises(NotFound):
            await caller.do(client.posts.get(ID))


async def test_a_cancelled_call_says_nothing_to_the_breaker() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    breaker = Breaker(BreakerPolicy(at_least=1))
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    client = AsyncPulse("http://pulse", breaker=breaker, http_client=http)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.posts.get(ID)
    assert breaker.begin(time.monotonic()) is not None
