"""What becomes of a call, on the blocking and the asynchronous client alike."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from pulse_sdk import (
    AnswerError,
    Backoff,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidInput,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    PulseError,
    RateLimited,
    Retries,
    ServerError,
    UnreadableAnswer,
)
from tests.unit.sdk_support import ID, POST, Caller, Server


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
        await caller.do(caller.client(server).users.update_me(bio="hello"))
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
    assert time.monotonic() - started >= 1.0
    assert len(server.requests) == 2


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
