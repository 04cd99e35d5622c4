"""What came with an answer, hooks, and what is logged; on both clients alike."""

from __future__ import annotations

import copy
import logging
from typing import Any

import httpx
import pytest

from pulse_sdk import Answer, Hooks, NotFound, PulseError
from pulse_sdk.hooks import Attempt, Reply
from tests.unit.sdk_support import ID, POST, Caller, Server, tokens


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


async def test_a_raw_call_gives_what_came_with_the_answer(caller: Caller) -> None:
    server = Server(
        httpx.Response(503), httpx.Response(200, json=POST, headers={"ETag": '"7"', "X-Thing": "1"})
    )
    answer = await caller.do(caller.client(server).raw.posts.get(ID))
    assert isinstance(answer, Answer)
    assert answer.value.text == "hello"
    assert (answer.status, answer.attempts, answer.headers["etag"]) == (200, 2, '"7"')
    sent = {request.headers["X-Correlation-ID"] for request in server.requests}
    assert sent == {answer.correlation_id}
    assert b"hello" in answer.reply.content
    assert "hello" not in repr(answer.reply)


async def test_a_raw_list_is_the_page_that_is_named(caller: Caller) -> None:
    server = Server(httpx.Response(200, json={"items": [POST], "next_cursor": "b"}))
    answer = await caller.do(caller.client(server).raw.posts.list(limit=1, cursor="a"))
    assert [post.text for post in answer.value.items] == ["hello"]
    assert dict(server.requests[0].url.params) == {"limit": "1", "cursor": "a"}


async def test_a_raw_log_in_is_one(caller: Caller) -> None:
    client = caller.client(Server(httpx.Response(200, json=tokens(1))))
    await caller.do(client.raw.auth.login("ada", "password-1"))
    assert client.tokens is not None


async def test_a_raw_call_of_a_view_has_its_options(caller: Caller) -> None:
    server = Server(httpx.Response(204))
    view = caller.client(server).with_options(headers={"X-Correlation-ID": "mine"})
    answer = await caller.do(view.raw.posts.like(ID))
    assert answer.correlation_id == server.requests[0].headers["X-Correlation-ID"] == "mine"


class Told:
    def __init__(self) -> None:
        self.of: list[Any] = []

    def request(self, attempt: Attempt) -> None:
        attempt.headers["traceparent"] = f"00-{attempt.number}"
        self.of.append(("request", attempt.operation, attempt.number))

    def response(self, attempt: Attempt, reply: Reply) -> None:
        self.of.append(("response", reply.status))

    def retry(self, attempt: Attempt, failure: PulseError, wait: float) -> None:
        assert wait >= 0
        self.of.append(("retry", failure.code))


async def test_hooks_are_told_of_each_step(caller: Caller) -> None:
    told = Told()
    hooks = Hooks(request=told.request, response=told.response, retry=told.retry)
    server = Server(httpx.ConnectError("no"), httpx.Response(503), httpx.Response(200, json=POST))
    await caller.do(caller.client(server, hooks=hooks, token="very-secret").posts.get(ID))
    assert told.of == [
        ("request", "posts.get", 1),
        ("retry", "connection_failed"),
        ("request", "posts.get", 2),
        ("response", 503),
        ("retry", "http_503"),
        ("request", "posts.get", 3),
        ("response", 200),
    ]
    sent = [request.headers["traceparent"] for request in server.requests]
    assert sent == ["00-1", "00-2", "00-3"]


async def test_hooks_are_told_no_token_and_cannot_replace_it(caller: Caller) -> None:
    seen = []

    def request(attempt: Attempt) -> None:
        seen.append((repr(attempt), copy.copy(attempt.headers)))
        attempt.headers["Authorization"] = attempt.headers["AUTHORIZATION"] = "forged"

    server = Server(httpx.Response(404))
    client = caller.client(server, hooks=Hooks(request=request), token="very-secret")
    with pytest.raises(NotFound):
        await caller.do(client.posts.get(ID))
    assert "very-secret" not in str(seen)
    assert server.requests[0].headers.get_list("Authorization") == ["Bearer very-secret"]


async def test_what_a_hook_raises_ends_the_call(caller: Caller) -> None:
    def response(attempt: Attempt, reply: Reply) -> None:
        raise LookupError("mine")

    server = Server(httpx.Response(503))
    with pytest.raises(LookupError, match="mine"):
        await caller.do(caller.client(server, hooks=Hooks(response=response)).posts.get(ID))
    assert len(server.requests) == 1


def test_each_operation_has_a_name_of_its_own() -> None:
    seen: list[str] = []
    hooks = Hooks(request=lambda attempt: seen.append(attempt.operation))
    client = Caller("sync").client(Server(httpx.Response(204)), hooks=hooks)
    client.posts.like(ID)
    client.auth.logout()
    assert seen == ["posts.like", "auth.logout"]


async def test_nothing_is_printed_unless_logging_is_asked_for(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(httpx.Response(503), httpx.Response(200, json=POST))
    await caller.do(caller.client(server).posts.get(ID))
    with caplog.at_level(logging.WARNING):
        await caller.do(caller.client(Server(httpx.Response(200, json=POST))).posts.get(ID))
    assert not [record for record in caplog.records if record.name.startswith("pulse_sdk")]
    assert any(
        isinstance(handler, logging.NullHandler)
        for handler in logging.getLogger("pulse_sdk").handlers
    )
