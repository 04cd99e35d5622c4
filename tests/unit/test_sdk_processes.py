"""A client in forked processes, on several event loops, and in tasks that are cancelled."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
from collections.abc import Callable

import httpx
import pytest

from pulse_sdk import AsyncPulse, ConnectionFailed, InvalidInput, Pulse, Tokens
from tests.unit.sdk_servers import answer, listening
from tests.unit.sdk_support import ID, POST, Caller, Server, tokens


async def test_a_cancelled_call_in_mid_refresh_leaves_a_client_that_works() -> None:
    refreshing, go_on = asyncio.Event(), asyncio.Event()
    refreshes = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal refreshes
        if request.url.path.endswith("/auth/refresh"):
            refreshes += 1
            refreshing.set()
            await go_on.wait()
            return httpx.Response(200, json=tokens(1))
        if request.headers["Authorization"] == "Bearer access-1":
            return httpx.Response(200, json=POST)
        return httpx.Response(401)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    client = AsyncPulse("http://pulse", token=Tokens.model_validate(tokens(0)), http_client=http)
    only = asyncio.create_task(client.posts.get(ID))
    await refreshing.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    assert not closing.done()  # It waits for the tokens that are on their way.
    go_on.set()
    await closing
    assert (await client.posts.get(ID)).text == "hello"
    assert refreshes == 1


# Python 3.12 and later warn of any fork beside threads, such as those of the server here.
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def in_fork(work: Callable[[], str]) -> str:
    """What `work` returns in a forked child."""
    context = multiprocessing.get_context("fork")
    theirs, ours = context.Pipe()

    def child() -> None:
        try:
            theirs.send(work())
        except BaseException as error:
            theirs.send(f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
        os._exit(0)

    process = context.Process(target=child)
    process.start()
    assert ours.poll(60)
    said = str(ours.recv())
    process.join()
    return said


@FORKS
def test_a_fork_after_use_has_connections_of_its_own() -> None:
    lines: list[int] = []

    def serve(connection: socket.socket) -> None:
        lines.append(1)
        connection.sendall(answer(json.dumps(POST).encode()))
        while connection.recv(65536):
            connection.sendall(answer(json.dumps(POST).encode()))

    with listening(serve) as url, Pulse(url, token="t") as client:
        for _ in range(2):
            client.posts.get(ID)
        assert len(lines) == 1
        assert in_fork(lambda: client.posts.get(ID).text) == "hello"
        client.posts.get(ID)
        assert len(lines) == 2


@FORKS
def test_a_fork_after_use_may_go_on_in_an_event_loop_of_its_own() -> None:
    said = answer(json.dumps(POST).encode(), "Connection: close")

    async def once() -> str:
        return (await client.posts.get(ID)).text

    with listening(lambda connection: connection.sendall(said)) as url:
        client = AsyncPulse(url, token="t")
        assert asyncio.run(once()) == "hello"
        assert in_fork(lambda: asyncio.run(once())) == "hello"
        asyncio.run(client.aclose())


@FORKS
def test_a_given_client_is_not_used_after_a_fork() -> None:
    client = Caller("sync").client(Server(httpx.Response(200, json=POST)))
    client.posts.get(ID)
    assert "make it after the fork" in in_fork(lambda: str(client.posts.get(ID).text))


@FORKS
def test_a_fork_does_not_use_up_its_parents_refresh_token() -> None:
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(b"")
        connection.sendall(answer(b"", status="401 Unauthorized"))

    with listening(serve) as url:
        client = Pulse(url, token=Tokens.model_validate(tokens(0)), retries=0)
        said = in_fork(lambda: str(client.posts.get(ID)))
        assert "NotAuthenticated" in said and "Log in after the fork" in said
        assert len(asked) == 1
        assert client.tokens is not None
        client.close()


def test_one_client_serves_one_event_loop_after_the_other() -> None:
    said = answer(json.dumps(POST).encode(), "Connection: close")

    async def once() -> str:
        return (await client.posts.get(ID)).text

    with listening(lambda connection: connection.sendall(said)) as url:
        client = AsyncPulse(url)
        assert [asyncio.run(once()) for _ in range(2)] == ["hello"] * 2
        asyncio.run(client.aclose())


async def test_one_client_on_two_event_loops_at_a_time_is_refused() -> None:
    async with AsyncPulse("http://pulse.invalid", retries=0) as client:
        with pytest.raises(ConnectionFailed):
            await client.posts.get(ID)
        with pytest.raises(InvalidInput, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(client.posts.get(ID)))


async def test_a_given_client_may_serve_several_event_loops() -> None:
    client = Caller("async").client(Server(httpx.Response(200, json=POST)))
    await client.posts.get(ID)
    found = await asyncio.to_thread(lambda: asyncio.run(client.posts.get(ID)))
    assert found.text == "hello"
