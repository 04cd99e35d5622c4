"""The flow without a client or a network: what it wants done, step by step."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from pulse_sdk import (
    Backoff,
    ConnectionFailed,
    NotAuthenticated,
    RateLimited,
    Retries,
    ServerError,
    TimedOut,
    Tokens,
    TokenSource,
    UnreadableAnswer,
)
from pulse_sdk._call import Call
from pulse_sdk._flow import FetchToken, Flow, RefreshTokens, Send, Sleep, Step, TellTokens
from pulse_sdk.auth import Credentials
from pulse_sdk.contract.posts import EditPost, Post
from pulse_sdk.hooks import Reply
from pulse_sdk.options import Options
from tests.unit.sdk_support import ID, POST, tokens

GET = Call("GET", ("posts", ID), Post)
PATCH = Call("PATCH", ("posts", ID), Post, body=EditPost(text="x"), version=3)
GOOD = httpx.Response(200, json=POST)
BUSY = httpx.Response(503)
DENIED = httpx.Response(401)
RENEWED = httpx.Response(200, json=tokens(1))
LOST = httpx.ReadError("lost")
LATE = httpx.ReadTimeout("late")
REFUSED = httpx.ConnectError("refused")


class Source:
    def token(self, refused: str | None) -> str:
        raise AssertionError("the flow itself asks nobody")


def flow(token: str | Tokens | TokenSource | None = None, **options: Any) -> Flow:
    retries = Retries(limit=2, backoff=Backoff(1, 1), retry_after_cap=30)
    return Flow("http://pulse", Credentials(token), Options(retries=retries, **options))


def follow(
    steps: Generator[Step, Any, Any], *outcomes: object
) -> tuple[list[Step], object | Exception]:
    """Answer each step with the next outcome; the steps, and what came of it in the end."""
    wanted: list[Step] = []
    script = iter(outcomes)
    try:
        step = next(steps)
        while True:
            wanted.append(step)
            outcome = None if isinstance(step, Sleep | TellTokens) else next(script)
            if isinstance(outcome, Exception):
                step = steps.throw(outcome)
            elif isinstance(outcome, httpx.Response):
                content = outcome.content
                step = steps.send(Reply(outcome.status_code, outcome.headers, content))
            else:
                step = steps.send(outcome)
    except StopIteration as end:
        result = end.value
    except Exception as error:
        result = error
    assert not list(script), "not all outcomes were asked for"
    return wanted, result


def stored(expires_in: int = 900) -> Tokens:
    return Tokens.model_validate({**tokens(0), "expires_in": expires_in})


KEYED = Call("POST", ("posts",), Post, body=EditPost(text="x"), idempotency_key="k")
ONCE = Call("POST", ("posts",), Post, body=EditPost(text="x"))


@pytest.mark.parametrize(
    ("call", "token", "outcomes", "wanted", "result"),
    [
        (GET, None, [GOOD], [Send], 1),
        (GET, None, [BUSY, GOOD], [Send, Sleep, Send], 2),
        (GET, None, [LOST, LATE, GOOD], [Send, Sleep, Send, Sleep, Send], 3),
        (GET, None, [BUSY, BUSY, BUSY], [Send, Sleep, Send, Sleep, Send], ServerError),
        (GET, None, [LATE, LATE, LATE], [Send, Sleep, Send, Sleep, Send], TimedOut),
        (GET, None, [httpx.Response(429, headers={"Retry-After": "31"})], [Send], RateLimited),
        (KEYED, None, [LOST, GOOD], [Send, Sleep, Send], 2),
        (ONCE, None, [LOST], [Send], ConnectionFailed),
        (ONCE, None, [BUSY], [Send], ServerError),
        (ONCE, None, [REFUSED, GOOD], [Send, Sleep, Send], 2),
        (PATCH, None, [GOOD], [Send], 1),
        (GET, None, [httpx.Response(200, content=b"{")], [Send], UnreadableAnswer),
        (GET, None, [DENIED], [Send], NotAuthenticated),
        (GET, "t", [DENIED], [Send], NotAuthenticated),
        (GET, stored(), [DENIED, True, GOOD], [Send, RefreshTokens, Send], 2),
        (GET, stored(), [DENIED, False], [Send, RefreshTokens], NotAuthenticated),
        (GET, stored(), [DENIED, REFUSED], [Send, RefreshTokens], httpx.ConnectError),
        (GET, stored(), [DENIED, TimeoutError()], [Send, RefreshTokens], TimedOut),
        (GET, stored(), [DENIED, TimedOut("x")], [Send, RefreshTokens], TimedOut),
        (GET, stored(), [DENIED, True, DENIED], [Send, RefreshTokens, Send], NotAuthenticated),
        (ONCE, stored(), [DENIED, True, GOOD], [Send, RefreshTokens, Send], 2),
        (GET, stored(0), [True, GOOD], [RefreshTokens, Send], 1),
        (GET, stored(0), [ConnectionFailed("x"), GOOD], [RefreshTokens, Send], 1),
        (GET, stored(0), [TimeoutError(), GOOD], [RefreshTokens, Send], 1),
        (GET, Source(), [True, GOOD], [RefreshTokens, Send], 1),
        (GET, Source(), [LookupError()], [RefreshTokens], LookupError),
        (GET, Source(), [TimeoutError()], [RefreshTokens], TimedOut),
    ],
)
def test_what_becomes_of_a_call(
    call: Call[Post],
    token: str | Tokens | TokenSource | None,
    outcomes: list[object],
    wanted: list[type],
    result: int | type[Exception],
) -> None:
    steps, found = follow(flow(token).run(call), *outcomes)
    assert [type(step) for step in steps] == wanted
    if isinstance(result, int):
        assert not isinstance(found, Exception)
        assert found.attempts == result  # type: ignore[attr-defined]
    else:
        assert type(found) is result


def test_a_request_is_what_the_call_says() -> None:
    (step,), _ = follow(flow("t", headers={"x-team": "bots"}).run(PATCH), GOOD)
    assert isinstance(step, Send)
    assert (step.method, step.url) == ("PATCH", f"http://pulse/api/v1/posts/{ID}")
    assert step.headers.pop("x-correlation-id")
    assert step.headers == {
        "accept": "application/json",
        "x-team": "bots",
        "authorization": "Bearer t",
        "content-type": "application/json",
        "if-match": '"3"',
    }
    assert step.content == b'{"text":"x"}'
    assert "Bearer" not in repr(step) and "text" not in repr(step)


def test_waits_end_before_the_deadline() -> None:
    busy = httpx.Response(429, headers={"Retry-After": "1"})
    steps, found = follow(flow(deadline=0.5).run(GET), busy)
    assert isinstance(found, RateLimited)
    assert [type(step) for step in steps] == [Send]


@pytest.mark.parametrize(
    ("token", "stale", "outcomes", "wanted", "result"),
    [
        (stored(), "access-0", [RENEWED], [Send, TellTokens], True),
        (stored(), "access-0", [DENIED], [Send], False),
        (stored(), "access-0", [LOST, RENEWED], [Send, Sleep, Send, TellTokens], True),
        (stored(), "access-0", [BUSY, RENEWED], [Send, Sleep, Send, TellTokens], True),
        (stored(), "access-0", [LOST] * 3, [Send, Sleep] * 2 + [Send], ConnectionFailed),
        (stored(), "older", [], [], True),
        (None, "older", [], [], False),
        ("t", "t", [], [], False),
        (Source(), None, ["t2"], [FetchToken], True),
        (Source(), None, [LookupError()], [FetchToken], LookupError),
    ],
)
def test_what_becomes_of_a_renewal(
    token: str | Tokens | TokenSource | None,
    stale: str | None,
    outcomes: list[object],
    wanted: list[type],
    result: bool | type[Exception],
) -> None:
    told: list[Tokens | None] = []
    one = Flow("http://pulse", Credentials(token), Options(), told.append)
    steps, found = follow(one.refresh(SecretStr(stale) if stale else None), *outcomes)
    assert [type(step) for step in steps] == wanted
    assert type(found) is result if isinstance(result, type) else found is result


def test_an_answer_that_was_cut_off_is_an_error() -> None:
    steps = flow().run(GET)
    next(steps)
    with pytest.raises(UnreadableAnswer, match="larger than 16777216 bytes"):
        steps.send(Reply(200, {}, b"", whole=False))


def test_a_token_of_the_process_before_the_fork_is_not_used_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = flow(stored(0))
    pid = os.getpid()
    monkeypatch.setattr("pulse_sdk.auth.os.getpid", lambda: pid + 1)
    steps, found = follow(one.run(GET), DENIED)
    assert [type(step) for step in steps] == [Send]
    assert isinstance(found, NotAuthenticated)
    assert "Log in after the fork" in found.__notes__[0]
    assert one.credentials.tokens is None


@pytest.mark.parametrize(
    ("base", "websocket"),
    [
        ("http://pulse:1", "ws://pulse:1/api/v1/ws"),
        ("https://pulse/http", "wss://pulse/http/api/v1/ws"),
    ],
)
def test_a_websocket_url_follows_the_scheme(base: str, websocket: str) -> None:
    assert Flow(base, Credentials(), Options()).websocket_url == websocket


def test_no_token_can_be_replaced_when_there_was_none() -> None:
    assert not Credentials(stored()).can_replace(None)
    assert Credentials("newer").can_replace(SecretStr("older"))
    assert math.isinf(Credentials("opaque")._due_at)


COVERED = ["_flow", "auth", "options", "paging"]


@pytest.mark.timeout(600)  # It runs the tests of all of it.
def test_no_line_of_what_makes_a_call_is_left_untested(tmp_path: Path) -> None:
    tests = [
        str(Path(__file__).with_name(f"test_sdk_{name}.py"))
        for name in ("auth", "login", "paging", "raw", "sources", "steps", "surface", "time")
    ]
    coverage = [sys.executable, "-m", "coverage"]
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "data")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*coverage, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    pytest_ = ["pytest", "-q", "-p", "no:cacheprovider", "-k", "not no_line_of"]
    ran = run("run", "--source=pulse_sdk", "-m", *pytest_, *tests)
    assert ran.returncode == 0, ran.stdout
    include = ",".join(f"*/pulse_sdk/{name}.py" for name in COVERED)
    report = run("report", "--show-missing", "--fail-under=100", f"--include={include}")
    assert report.returncode == 0, report.stdout
