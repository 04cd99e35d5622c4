"""What becomes of a call, on the blocking and the asynchronous client alike."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest

from pulse_sdk import (
    AnswerError,
    AsyncPulse,
    Backoff,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidInput,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    Pulse,
    PulseError,
    RateLimited,
    Retries,
    ServerError,
    UnreadableAnswer,
)
from pulse_sdk.contract.users import Tokens

T = TypeVar("T")
Handler = Callable[[httpx.Request], httpx.Response]
ID = "0190b6f0-0000-7000-8000-000000000001"
NOW = "2026-01-01T00:00:00Z"
POST = {
    "id": ID,
    "author_id": ID,
    "text": "hello",
    "like_count": 0,
    "comment_count": 0,
    "created_at": NOW,
}
SESSION = {"id": ID, "created_at": NOW, "expires_at": NOW}
QUICK = Retries(limit=2, backoff=Backoff(first=0.001, most=0.002), retry_after_cap=0.05)


def tokens(generation: int) -> dict[str, Any]:
    return {
        "access_token": f"access-{generation}",
        "refresh_token": f"refresh-{generation}",
        "expires_in": 900,
    }


class Server:
    """Answers from a script, the last entry for ever, and keeps the requests."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        # A fresh one each time: a response that was read cannot be read again.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class Caller:
    """A client of either kind; `do` runs one call of it to its end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def client(self, handler: Handler, **options: Any) -> Any:
        options = {"retries": QUICK, **options}
        transport = httpx.MockTransport(handler)
        if self.kind == "sync":
            return Pulse("http://pulse", http_client=httpx.Client(transport=transport), **options)
        http = httpx.AsyncClient(transport=transport)
        return AsyncPulse("http://pulse", http_client=http, **options)

    async def do(self, outcome: T | Awaitable[T]) -> T:
        return await outcome if inspect.isawaitable(outcome) else outcome

    async def items(self, iterable: Any) -> list[Any]:
        if isinstance(iterable, AsyncIterator) or hasattr(iterable, "__aiter__"):
            return [item async for item in iterable]
        return list(iterable)


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


async def test_a_success_is_parsed_and_unknown_fields_are_ignored(caller: Caller) -> None:
    client = caller.client(Server(httpx.Response(200, json={**POST, "newer": {"field": 1}})))
    post = await caller.do(client.posts.get(ID))
    assert post.text == "hello"


async def test_the_token_goes_along_and_the_body_is_what_the_contract_says(caller: Caller) -> None:
    server = Server(httpx.Response(201, json=POST))
    client = caller.client(server, token="access-0")
    await caller.do(client.posts.create("  hello "))
    (request,) = server.requests
    assert request.headers["Authorization"] == "Bearer access-0"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == {"text": "hello"}


@pytest.mark.parametrize(
    "hiccup",
    [
        httpx.Response(503),
        httpx.Response(502),
        httpx.Response(504),
        httpx.Response(429, headers={"Retry-After": "0"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("too slow"),
    ],
    ids=repr,
)
async def test_an_idempotent_call_is_repeated(
    caller: Caller, hiccup: httpx.Response | Exception
) -> None:
    server = Server(hiccup, hiccup, httpx.Response(200, json=POST))
    await caller.do(caller.client(server).posts.get(ID))
    assert len(server.requests) == 3


async def test_one_idempotency_key_serves_all_attempts_of_a_call(caller: Caller) -> None:
    server = Server(httpx.Response(503), httpx.ReadError("broke"), httpx.Response(201, json=POST))
    client = caller.client(server)
    await caller.do(client.posts.create("hello"))
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(keys) == 3 and len(set(keys)) == 1
    await caller.do(client.posts.create("hello"))
    assert server.requests[-1].headers["Idempotency-Key"] not in keys
    await caller.do(client.posts.create("hello", idempotency_key="mine"))
    assert server.requests[-1].headers["Idempotency-Key"] == "mine"


async def test_a_call_without_a_key_is_sent_once(caller: Caller) -> None:
    server = Server(httpx.Response(503))
    with pytest.raises(ServerError) as caught:
        await caller.do(caller.client(server).conversations.open([ID]))
    assert caught.value.attempts == len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 500])
async def test_a_final_answer_is_not_asked_for_again(caller: Caller, status: int) -> None:
    server = Server(httpx.Response(status))
    with pytest.raises(AnswerError):
        await caller.do(caller.client(server).posts.get(ID))
    assert len(server.requests) == 1


async def test_attempts_end_and_are_counted(caller: Caller) -> None:
    server = Server(httpx.ConnectError("refused"))
    with pytest.raises(ConnectionFailed, match=r"http://pulse.*refused.*3 attempts") as caught:
        await caller.do(caller.client(server).posts.get(ID))
    assert caught.value.attempts == len(server.requests) == 3
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


async def test_retry_after_is_waited_for(caller: Caller) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"})
    server = Server(busy, httpx.Response(200, json=POST))
    retries = Retries(backoff=Backoff(0.001, 0.001), retry_after_cap=1)
    started = time.monotonic()
    await caller.do(caller.client(server, retries=retries).posts.get(ID))
    assert 1.0 <= time.monotonic() - started < 3.0


async def test_a_retry_after_past_the_cap_is_raised_at_once(caller: Caller) -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": "60"}))
    with pytest.raises(RateLimited) as caught:
        await caller.do(caller.client(server).posts.get(ID))
    assert caught.value.retry_after == 60
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, AnswerError),
        (400, InvalidRequest),
        (401, NotAuthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidRequest),
        (418, AnswerError),
        (422, InvalidRequest),
        (429, RateLimited),
        (500, ServerError),
        (599, ServerError),
    ],
)
async def test_each_status_has_its_error(
    caller: Caller, status: int, kind: type[AnswerError]
) -> None:
    problem = {
        "title": "No",
        "status": status,
        "code": "because",
        "detail": "it says so",
        "correlation_id": "abc",
        "errors": [{"field": "text", "message": "too long"}],
    }
    server = Server(httpx.Response(status, json=problem))
    with pytest.raises(PulseError) as caught:
        await caller.do(caller.client(server, retries=Retries(limit=0)).posts.get(ID))
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.correlation_id) == (status, "because", "abc")
    assert "it says so" in str(error) and "text: too long" in str(error)


async def test_an_error_that_is_no_problem_document_still_says_what_is_known(
    caller: Caller,
) -> None:
    answer = httpx.Response(404, html="<h1>nginx</h1>", headers={"x-correlation-id": "abc"})
    with pytest.raises(NotFound, match="404 http_404: Not Found") as caught:
        await caller.do(caller.client(Server(answer)).posts.get(ID))
    assert caught.value.correlation_id == "abc"


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b'{"id": 1}', b"\xff"])
async def test_a_success_that_cannot_be_read_is_a_clear_error(
    caller: Caller, content: bytes
) -> None:
    server = Server(httpx.Response(200, content=content))
    with pytest.raises(UnreadableAnswer, match="not what the contract promises"):
        await caller.do(caller.client(server).posts.get(ID))
    assert len(server.requests) == 1


async def test_an_unreadable_log_in_shows_no_token(caller: Caller) -> None:
    server = Server(httpx.Response(200, json={"access_token": "very-secret"}))
    with pytest.raises(UnreadableAnswer) as caught:
        await caller.do(caller.client(server).auth.login("ada", "password-1"))
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "very-secret" not in shown
    assert caught.value.__suppress_context__


async def test_the_content_of_a_204_does_not_matter(caller: Caller) -> None:
    for answer in httpx.Response(204), httpx.Response(200, text="fine"):
        assert await caller.do(caller.client(Server(answer)).posts.like(ID)) is None


async def test_wrong_arguments_are_refused_before_anything_is_sent(caller: Caller) -> None:
    server = Server(httpx.Response(500))
    client = caller.client(server)
    with pytest.raises(InvalidInput) as caught:
        await caller.do(client.posts.create("x" * 501))
    assert [field.field for field in caught.value.fields] == ["text"]
    with pytest.raises(InvalidInput) as caught:
        await caller.do(
            client.auth.register(email="no", username="ada", password="pw-7", display_name="Ada")
        )
    assert {field.field for field in caught.value.fields} == {"email", "password"}
    assert "pw-7" not in f"{caught.value!r}{caught.value}"
    with pytest.raises(InvalidInput, match="idempotency_key"):
        await caller.do(client.posts.create("x", idempotency_key="two\nlines"))
    with pytest.raises(ValueError, match="limit"):
        await caller.items(client.feed.list(limit=101))
    assert server.requests == []


@pytest.mark.parametrize(
    ("user_id", "path"),
    [
        ("a/b", b"/api/v1/users/a%2Fb"),
        ("a/../b", b"/api/v1/users/a%2F..%2Fb"),
        ("x?admin=1#y", b"/api/v1/users/x%3Fadmin%3D1%23y"),
        ("100%2F", b"/api/v1/users/100%252F"),
        ("é \n", b"/api/v1/users/%C3%A9%20%0A"),
        ("...", b"/api/v1/users/..."),
    ],
)
async def test_an_id_cannot_leave_its_place(caller: Caller, user_id: str, path: bytes) -> None:
    server = Server(httpx.Response(404))
    with pytest.raises(NotFound):
        await caller.do(caller.client(server).users.get(user_id))
    assert server.requests[0].url.raw_path == path


@pytest.mark.parametrize("user_id", ["", ".", ".."])
async def test_an_id_that_cannot_be_quoted_is_refused(caller: Caller, user_id: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be part of a path"):
        await caller.do(caller.client(Server(httpx.Response(200))).users.get(user_id))


def paged(request: httpx.Request) -> httpx.Response:
    """Three pages of two, one and no posts."""
    pages: dict[str | None, tuple[int, str | None]] = {
        None: (2, "b"),
        "b": (1, "c"),
        "c": (0, None),
    }
    count, following = pages[request.url.params.get("cursor")]
    return httpx.Response(200, json={"items": [POST] * count, "next_cursor": following})


async def test_a_list_yields_items_or_pages_over_all_pages(caller: Caller) -> None:
    listing = caller.client(paged).posts.list(limit=2)
    assert len(await caller.items(listing)) == 3
    assert [len(page.items) for page in await caller.items(listing.pages())] == [2, 1, 0]


async def test_limit_and_cursor_work_by_hand(caller: Caller) -> None:
    client = caller.client(paged)
    page = await caller.do(client.posts.list(limit=1, author_id=ID, cursor="b").page())
    assert (len(page.items), page.next_cursor) == (1, "c")


async def test_every_page_is_asked_for_with_the_same_filter(caller: Caller) -> None:
    seen: list[dict[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        return paged(request)

    await caller.items(caller.client(handler).posts.list(author_id=ID, limit=7))
    assert [query.pop("cursor", None) for query in seen] == [None, "b", "c"]
    assert seen == [{"author_id": ID, "limit": "7"}] * 3


async def test_a_feed_page_says_that_it_is_degraded(caller: Caller) -> None:
    server = Server(httpx.Response(200, json={"items": [], "degraded": True}))
    page = await caller.do(caller.client(server).feed.list().page())
    assert page.degraded


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
    assert client.credentials.access_token == "access-1"
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
