"""Servers and networks that misbehave, on real sockets and both clients alike."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import logging
import socket
import threading
import traceback
from typing import Any

import httpx
import pytest

from pulse_sdk import (
    AnswerError,
    AsyncPulse,
    ConnectionFailed,
    InvalidInput,
    InvalidRequest,
    NotAuthenticated,
    Pulse,
    PulseError,
    TimedOut,
    Tokens,
    UnreadableAnswer,
    _flow,
)
from tests.ports import closed_port
from tests.unit.sdk_servers import answer, ask, listening
from tests.unit.sdk_support import ID, POST, Caller, Server, tokens


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        answer(b'{"id": 1', length=500),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["nothing", "half a header", "half a body", "other protocol", "bad chunk"],
)
async def test_a_server_that_breaks_off_is_a_failed_connection(caller: Caller, said: bytes) -> None:
    with listening(lambda connection: connection.sendall(said)) as url:
        with pytest.raises(ConnectionFailed, match=r"no answer from http://127\.0\.0\.1") as caught:
            await ask(caller, url)
        assert (caught.value.code, caught.value.status) == ("connection_failed", None)
        assert caught.value.attempts == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_made_again(caller: Caller) -> None:
    closed = threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        connection.sendall(answer(json.dumps(POST).encode()))
        connection.close()
        closed.release()

    with listening(serve) as url:
        client: Any = Pulse(url) if caller.kind == "sync" else AsyncPulse(url)
        for _ in range(3):
            assert (await caller.do(client.posts.get(ID))).text == "hello"
            assert await asyncio.to_thread(closed.acquire, timeout=30)
        await caller.do(client.close() if caller.kind == "sync" else client.aclose())


async def test_a_server_that_says_nothing_times_out(caller: Caller) -> None:
    done = threading.Event()
    with listening(lambda connection: done.wait(30)) as url:
        with pytest.raises(TimedOut, match="in time"):
            await ask(caller, url, timeout=0.1)
        with pytest.raises(TimedOut, match="before the deadline"):
            await ask(caller, url, deadline=0.1)
        done.set()


async def test_nobody_listening_is_a_failed_connection(caller: Caller) -> None:
    with closed_port() as port, pytest.raises(ConnectionFailed, match="3 attempts"):
        await ask(caller, f"http://127.0.0.1:{port}", retries=2)
    with pytest.raises(ConnectionFailed, match="no answer from"):
        await ask(caller, "http://pulse.invalid")


async def test_a_body_that_is_too_large_is_told_clearly(caller: Caller) -> None:
    problem = {"title": "Too large", "status": 413, "code": "gateway_body_too_large"}
    client = caller.client(Server(httpx.Response(413, json=problem)))
    with pytest.raises(InvalidRequest, match="413 gateway_body_too_large: Too large"):
        await caller.do(client.posts.create("x"))


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(caller: Caller) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(answer(b"", length=10**15))
        while True:
            connection.sendall(b" " * 65536)

    def quiet(connection: socket.socket) -> None:
        try:
            endless(connection)
        except OSError:
            ended.set()

    ended = threading.Event()
    with listening(quiet) as url:
        with pytest.raises(UnreadableAnswer, match="larger than 16777216 bytes") as caught:
            await ask(caller, url)
        assert caught.value.status == 200
        assert await asyncio.to_thread(ended.wait, 30)


async def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(caller: Caller) -> None:
    bomb = gzip.compress(b" " * (_flow.LARGEST_ANSWER + 1))
    for status, kind in (200, UnreadableAnswer), (404, AnswerError):

        def handler(request: httpx.Request, status: int = status) -> httpx.Response:
            headers = {"Content-Encoding": "gzip"}
            return httpx.Response(status, headers=headers, stream=httpx.ByteStream(bomb))

        with pytest.raises(kind):
            await caller.do(caller.client(handler).posts.get(ID))


async def test_an_answer_that_is_not_what_its_encoding_says_is_an_error(caller: Caller) -> None:
    said = answer(b"not gzip", "Content-Encoding: gzip")
    with listening(lambda one: one.sendall(said)) as url, pytest.raises(PulseError):
        await ask(caller, url)


async def test_a_redirect_is_explained_and_the_token_goes_nowhere(caller: Caller) -> None:
    def redirect(connection: socket.socket) -> None:
        location = f"Location: {elsewhere}/x?y=secret"
        connection.sendall(answer(b"", location, status="308 Permanent Redirect"))

    reached: list[socket.socket] = []
    with (
        listening(reached.append) as elsewhere,
        listening(redirect) as url,
        pytest.raises(AnswerError, match=r"redirects to http://127\.0\.0\.1") as caught,
    ):
        await ask(caller, url)
    assert caught.value.status == 308
    assert "secret" not in str(caught.value)
    assert reached == []


@pytest.mark.parametrize("location", ["", "/elsewhere", "//h"])
async def test_any_redirect_is_an_error(caller: Caller, location: str) -> None:
    server = Server(httpx.Response(302, headers={"Location": location}))
    with pytest.raises(AnswerError, match="302 http_302: the server redirects"):
        await caller.do(caller.client(server).posts.get(ID))
    nowhere = Server(httpx.Response(302, headers={"Location": "http://[::1"}))
    with pytest.raises(PulseError):
        await caller.do(caller.client(nowhere).posts.get(ID))


async def test_a_proxy_of_the_environment_is_used(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = answer(json.dumps(POST).encode())
    with listening(lambda connection: connection.sendall(said)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        assert (await ask(caller, "http://pulse.invalid")).text == "hello"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "ftp://ada:hunter2@proxy"),
        ("HTTPS_PROXY", "http://proxy:port"),
        ("SSL_CERT_FILE", "/nowhere/at/all.pem"),
    ],
)
async def test_an_environment_that_cannot_be_used_is_told(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match="environment: a proxy or certificates") as caught:
        await ask(caller, "http://pulse.invalid")
    assert "hunter2" not in str(caught.value)


async def test_no_secret_is_in_logs_or_the_locals_of_a_traceback(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    said = itertools.cycle(
        [
            answer(json.dumps(tokens(1)).encode(), "Connection: close"),
            answer(b"", "Connection: close", status="401 Unauthorized"),
        ]
    )

    found: list[BaseException] = []
    with caplog.at_level(logging.DEBUG), listening(lambda one: one.sendall(next(said))) as url:
        if caller.kind == "sync":
            with Pulse(url, token=Tokens.model_validate(tokens(0))) as client:
                await asyncio.to_thread(client.auth.login, "ada", "password-1")
                with pytest.raises(NotAuthenticated) as caught:
                    await asyncio.to_thread(client.posts.get, ID)
                found.append(caught.value)
        else:
            async with AsyncPulse(url, token=Tokens.model_validate(tokens(0))) as aclient:
                await aclient.auth.login("ada", "password-1")
                with pytest.raises(NotAuthenticated) as caught:
                    await aclient.posts.get(ID)
                found.append(caught.value)
    shown = traceback.TracebackException.from_exception(found[0], capture_locals=True)
    texts = [caplog.text, str(found[0].__dict__)]
    texts += [str(frame.locals) for frame in shown.stack if "pulse_sdk" in frame.filename]
    assert len(texts) > 4
    for secret in "access-1", "refresh-1", "password-1":
        assert not [text for text in texts if secret in text]
