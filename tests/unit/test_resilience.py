"""Breakers and deadlines on a fake clock, and calls to a peer that misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY

from pulse_sdk.breaker import Breaker, BreakerPolicy, Outcome, State
from pulse_sdk.contract.common import Problem
from pulse_sdk.contract.internal import Imported
from services.kit.errors import ServiceError, problems
from services.kit.http import Access, Call, add_endpoints, endpoint
from services.kit.observe import DEGRADED_HEADER, degraded, observed
from services.kit.peers import Peers, open_peers
from services.kit.resilience import DEADLINE_HEADER, deadline_from, within
from services.kit.settings import Settings
from tests.ports import closed_port
from tests.unit.test_kit import _settings

WELL, FAILED, UNKNOWN = Outcome.WELL, Outcome.FAILED, Outcome.UNKNOWN
Answer = Callable[[web.Request], Awaitable[web.Response]]


def _made(breaker: Breaker, outcomes: list[Outcome], now: float) -> None:
    for outcome in outcomes:
        ticket = breaker.begin(now)
        assert ticket is not None
        breaker.end(ticket, outcome, now)


def _state(breaker: Breaker) -> State:
    return breaker.state


def _opened(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    _made(breaker, [FAILED] * 5, now)
    assert _state(breaker) is State.OPEN
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([FAILED] * 4, State.CLOSED),
        ([FAILED] * 5, State.OPEN),
        ([WELL] * 6 + [FAILED] * 5, State.CLOSED),
        ([WELL] * 5 + [FAILED] * 5, State.OPEN),
        ([WELL, FAILED] * 3, State.OPEN),
        ([UNKNOWN] * 20, State.CLOSED),
    ],
)
def test_a_breaker_opens_when_half_of_the_calls_fail(outcomes: list[Outcome], state: State) -> None:
    breaker = Breaker()
    _made(breaker, outcomes, 100.0)
    assert _state(breaker) is state


def test_failures_are_forgotten_with_their_window() -> None:
    breaker = Breaker(BreakerPolicy(window_seconds=10))
    _made(breaker, [FAILED] * 4, 100.0)
    _made(breaker, [WELL], 110.0)
    _made(breaker, [FAILED], 110.5)
    assert _state(breaker) is State.CLOSED


def test_an_open_breaker_lets_one_probe_through_after_its_time() -> None:
    breaker = _opened(100.0)
    assert breaker.begin(129.9) is None
    probe = breaker.begin(130.0)
    assert probe is not None
    assert _state(breaker) is State.HALF_OPEN
    assert breaker.begin(131.0) is None

    breaker.end(probe, WELL, 131.0)
    assert _state(breaker) is State.CLOSED
    _made(breaker, [FAILED] * 4, 131.0)  # what failed before it opened counts no more
    assert _state(breaker) is State.CLOSED


def test_a_failed_probe_opens_the_breaker_for_another_time() -> None:
    breaker = _opened(100.0)
    probe = breaker.begin(130.0)
    assert probe is not None
    breaker.end(probe, FAILED, 133.0)
    assert breaker.begin(162.9) is None
    assert breaker.begin(163.0) is not None


def test_a_probe_that_was_cancelled_gives_its_place_to_the_next() -> None:
    breaker = _opened(100.0)
    probe = breaker.begin(130.0)
    assert probe is not None
    breaker.end(probe, UNKNOWN, 130.1)
    assert breaker.begin(130.2) is not None


def test_calls_from_before_it_opened_say_nothing_of_the_probe() -> None:
    breaker = Breaker()
    late = breaker.begin(99.0)
    assert late is not None
    _made(breaker, [FAILED] * 5, 100.0)
    breaker.end(late, WELL, 101.0)
    assert _state(breaker) is State.OPEN
    assert breaker.begin(130.0) is not None
    breaker.end(late, FAILED, 131.0)
    assert _state(breaker) is State.HALF_OPEN


def test_a_deadline_shortens_what_is_done_within_it() -> None:
    assert within(3.0) == 3.0
    with deadline_from("500000"):
        assert 400 < within(3000.0) <= 500
        assert within(0.1) == 0.1
    with pytest.raises(ServiceError) as late, deadline_from("0"):
        pass
    assert (late.value.status, late.value.code) == (504, "deadline_exceeded")
    assert within(3.0) == 3.0


@pytest.mark.parametrize("header", [None, "", "-1", "soon", "²", "1e9"])
def test_a_deadline_that_is_none_is_ignored(header: str | None) -> None:
    with deadline_from(header):
        assert within(3.0) == 3.0


async def test_work_past_the_deadline_is_refused() -> None:
    done: list[int] = []

    async def work(_: Call[None, None]) -> Imported:
        await asyncio.sleep(0.02)
        within(1.0)  # as whatever waits for something does
        done.append(1)
        return Imported(imported=1)

    settings = _settings("posts")
    app = web.Application(middlewares=[problems])
    public = endpoint("GET", "/work", work, returns=Imported, access=Access.PUBLIC)
    add_endpoints(app, settings, [public])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        for left, status in (("0", 504), ("10", 504), ("60000", 200)):
            url = server.make_url("/work")
            async with session.get(url, headers={DEADLINE_HEADER: left}) as answer:
                assert answer.status == status
                if status == 504:
                    problem = Problem.model_validate_json(await answer.read())
                    assert problem.code == "deadline_exceeded"
    assert done == [1]


class Peer:
    """Another service, whose instances answer as they are told."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.asked: list[web.Request] = []
        self.answers: list[Answer] = []

    async def ask(self, seconds: float = 30.0) -> int:
        read = Imported.model_validate_json
        return (await self._peers.call("users", "/x", read, seconds=seconds)).imported

    async def refused(self, seconds: float = 30.0) -> int:
        """The status of a call that fails."""
        with pytest.raises(ServiceError) as error:
            await self.ask(seconds)
        return error.value.status


@asynccontextmanager
async def _peer(tmp_path: Path, *answers: Answer | None) -> AsyncIterator[Peer]:
    """A service with an instance for each answer; where there is None, nobody listens."""
    urls: list[str] = []
    settings: Settings = _settings("social").model_copy(
        update={"peers_file": tmp_path / "peers.json"}
    )
    async with AsyncExitStack() as undo:
        closed = undo.enter_context(closed_port())
        servers: list[TestServer] = []
        peer = Peer(await undo.enter_async_context(open_peers(settings)))
        for answer in answers:
            if answer is None:
                urls.append(f"http://127.0.0.1:{closed}")
                continue

            async def handle(request: web.Request, answer: Answer = answer) -> web.Response:
                peer.asked.append(request)
                return await answer(request)

            app = web.Application()
            app.router.add_get("/x", handle)
            server = TestServer(app)
            await server.start_server(shutdown_timeout=0)
            servers.append(server)
            urls.append(str(server.make_url("")).rstrip("/"))
        settings.peers_file.write_text(json.dumps({"users": urls}))
        yield peer
    for server in servers:
        await server.close()


def _breaker() -> float | None:
    """The state of the peer's breaker, as metrics tell it."""
    return REGISTRY.get_sample_value("circuit_breaker_state", {"callee": "users"})


def _calls(outcome: str) -> float:
    labels = {"callee": "users", "outcome": outcome}
    return REGISTRY.get_sample_value("peer_calls_total", labels) or 0.0


async def _well(_: web.Request) -> web.Response:
    return web.json_response({"imported": 1})


async def _broken(_: web.Request) -> web.Response:
    return web.Response(status=500)


async def _wrong(_: web.Request) -> web.Response:
    return web.Response(status=422)


async def _hung(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_call_tells_how_long_its_caller_waits(tmp_path: Path) -> None:
    async with _peer(tmp_path, _well) as peer:
        assert await peer.ask(300) == 1
        with deadline_from("100000"):
            await peer.ask(300)
        told = [int(request.headers[DEADLINE_HEADER]) for request in peer.asked]
        assert 200_000 < told[0] <= 300_000
        assert 50_000 < told[1] <= 100_000


async def test_what_a_peer_lacked_is_named_in_the_answer_that_needed_it(tmp_path: Path) -> None:
    async def lacking(_: web.Request) -> web.Response:
        return web.json_response({"imported": 1}, headers={DEGRADED_HEADER: "cache, replica"})

    async with _peer(tmp_path, lacking) as peer:

        async def ask(_: web.Request) -> web.Response:
            degraded("timelines")
            return web.json_response(await peer.ask())

        app = web.Application(middlewares=[observed])
        app.router.add_get("/ask", ask)
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/ask")
            assert answer.headers[DEGRADED_HEADER] == "cache, replica, timelines"


async def test_a_call_goes_on_to_the_next_instance(tmp_path: Path) -> None:
    async with _peer(tmp_path, _hung, _broken, _well) as peer:
        for _ in range(3):
            assert await peer.ask(3.0) == 1


async def test_an_instance_that_restarts_is_passed_over(tmp_path: Path) -> None:
    async with _peer(tmp_path, None, _well) as peer:
        for _ in range(10):
            assert await peer.ask() == 1
        assert len(peer.asked) == 10  # its breaker stays closed, for each call went well


async def test_after_its_time_an_open_breaker_lets_one_call_see_whether_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0
    monkeypatch.setattr("services.kit.peers.monotonic", lambda: time.monotonic() + later)
    answers = [_broken] * 15
    probed, goes_on = asyncio.Event(), asyncio.Event()

    async def recovering(request: web.Request) -> web.Response:
        if answers:
            return await answers.pop()(request)
        probed.set()
        await goes_on.wait()
        return await _well(request)

    async with _peer(tmp_path, recovering) as peer:
        for _ in range(5):
            await peer.refused()
        later = 20.0
        assert await peer.refused() == 503
        assert len(peer.asked) == 15  # three attempts a call, and none of the sixth
        later = 31.0
        probing = asyncio.create_task(peer.ask())
        await probed.wait()
        assert await peer.refused() == 503  # one call is enough to see
        goes_on.set()
        assert await probing == await peer.ask() == 1
        assert len(peer.asked) == 17


async def test_a_call_fails_in_time_and_then_at_once(tmp_path: Path) -> None:
    async with _peer(tmp_path, _hung) as peer:
        for _ in range(5):
            assert await peer.refused(0.1) == 503  # the peer itself never answers
        assert _breaker() == State.OPEN.value
        before = _calls("open")
        assert await peer.refused() == 503
        assert _calls("open") == before + 1
        assert len(peer.asked) <= 5


async def test_a_failing_instance_is_asked_again_but_not_for_ever(tmp_path: Path) -> None:
    async with _peer(tmp_path, _broken) as peer:
        assert await peer.refused() == 503
        assert len(peer.asked) == 3


async def test_a_callers_mistake_is_neither_repeated_nor_held_against_the_callee(
    tmp_path: Path,
) -> None:
    async with _peer(tmp_path, _wrong) as peer:
        for _ in range(6):
            assert await peer.refused() == 503
        assert len(peer.asked) == 6


async def test_callers_without_time_do_not_open_the_breaker(tmp_path: Path) -> None:
    async with _peer(tmp_path, _hung) as peer:
        for _ in range(6):
            with deadline_from("100"):
                await peer.refused()
        assert _breaker() == State.CLOSED.value
