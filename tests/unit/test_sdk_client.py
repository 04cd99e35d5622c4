"""The two clients: one surface, options, lifecycle, what importing costs."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import respx
from pydantic import SecretStr

import pulse_sdk
from pulse_sdk import AsyncPulse, Backoff, InvalidInput, NotFound, Pulse, Retries
from pulse_sdk.contract.common import FieldError, Problem
from pulse_sdk.contract.users import Tokens
from pulse_sdk.errors import (
    AnswerError,
    CircuitOpen,
    ConnectionFailed,
    InvalidRequest,
    TimedOut,
    answer_error,
)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org/pulse/", "https://example.org/pulse"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("HTTPS://Example.ORG:443//", "https://example.org"),
        ("http://bücher.example/ä b", "http://xn--bcher-kva.example/%C3%A4%20b"),
        ("http://a_b.c-d.", "http://a_b.c-d."),
    ],
)
def test_a_base_url_is_used_as_given(given: str, used: str) -> None:
    with Pulse(given) as client:
        assert client.flow.base_url == used


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://example.org",
        "http://",
        "http://example.org:port",
        "http://example.org?x=1",
        "http://example.org#x",
        "http://example.org/api/v1",
        "http://example.org/api/v1/",
        "http://exa mple.org\n",
        " http://example.org",
        "http://example.org ",
        "http:/example.org",
        "//example.org",
        "http://example.org:0",
        "http://example.org:65536",
        "http://example.org:-1",
        "http://example.org:80:80",
        "http://[::1",
        "http://[::zz]",
        "http://example..org",
        "http://example.org\\x",
        "http://ex%41mple.org",
        "http://*.example.org",
        "http://xn--.org",
        "http://" + "a" * 64,
        "http://example.org?",
        "http://example.org#",
        "http://example.org/api/v1/posts",
        "ws://example.org",
        "http://\u200bexample.org",
        b"http://example.org",
        None,
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(base_url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^base_url: "):
        Pulse(base_url)


def test_a_password_in_a_base_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        Pulse("http://ada:hunter2@example.org")
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("token", ["", "secret\n", "se cret", "sécret"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Pulse("http://pulse", token=token)
    assert "cret" not in f"{caught.value} {caught.value!r}"


async def test_a_client_that_was_given_is_never_closed() -> None:
    with httpx.Client() as http:
        Pulse("http://pulse", http_client=http).close()
        assert not http.is_closed
    async with httpx.AsyncClient() as async_http:
        await AsyncPulse("http://pulse", http_client=async_http).aclose()
        assert not async_http.is_closed


@respx.mock
def test_a_given_client_keeps_its_own_headers_and_timeout() -> None:
    route = respx.delete("https://pulse/api/v1/posts/1").respond(204)
    with httpx.Client(headers={"X-Team": "bots"}, timeout=3) as http:
        Pulse("https://pulse", http_client=http).posts.delete("1")
        assert route.calls.last.request.headers["X-Team"] == "bots"
        assert route.calls.last.request.extensions["timeout"]["read"] == 3
        Pulse("https://pulse", http_client=http, timeout=1).posts.delete("1")
        assert route.calls.last.request.extensions["timeout"]["read"] == 1


@respx.mock
def test_a_redirect_is_not_followed() -> None:
    respx.get("https://pulse/api/v1/users/me").respond(
        307, headers={"Location": "https://elsewhere/"}
    )
    with httpx.Client(follow_redirects=True) as http, pytest.raises(AnswerError) as caught:
        Pulse("https://pulse", token="t", http_client=http).users.me()
    assert caught.value.status == 307


def test_errors_survive_pickling_and_copying() -> None:
    problem = Problem(
        title="No", status=422, code="no", errors=[FieldError(field="a", message="b")]
    )
    for error in (
        InvalidRequest(problem, 2, 1.5),
        NotFound(problem),
        InvalidInput.of("a", "b"),
        ConnectionFailed("refused", 3, "abc"),
        TimedOut("late", 3, "abc"),
        CircuitOpen("open", 2.5),
    ):
        for twin in pickle.loads(pickle.dumps(error)), copy.copy(error):
            assert (type(twin), str(twin)) == (type(error), str(error))
            assert (twin.args, twin.correlation_id) == (error.args, error.correlation_id)


def test_what_the_server_finds_invalid_is_caught_with_what_the_client_finds_invalid() -> None:
    problem = Problem(
        title="No", status=422, code="no", errors=[FieldError(field="a", message="b")]
    )
    with pytest.raises(InvalidInput) as caught:
        raise InvalidRequest(problem)
    assert caught.value.fields == (FieldError(field="a", message="b"),)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    headers = httpx.Headers({} if header is None else {"retry-after": header})
    assert answer_error(503, headers, b"", 1).retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    error = answer_error(503, {"Retry-After": date}, b"", 1)
    assert error.retry_after == pytest.approx(600, abs=60)


def test_a_date_to_come_back_at_counts_from_the_servers_clock() -> None:
    for date in "Thu, 01 Jan 1970 00:01:00 GMT", "Thu, 01 Jan 1970 00:01:00 -0000":
        headers = {"Retry-After": date, "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
        assert answer_error(503, headers, b"", 1).retry_after == 60


def test_a_status_that_nobody_knows_is_an_error_all_the_same() -> None:
    assert "799 http_799: Unknown status" in str(answer_error(799, {}, b"", 1))


def test_waits_double_up_to_their_bound() -> None:
    backoff = Backoff(first=1, most=5)
    for failures, bound in [(1, 1), (2, 2), (3, 4), (4, 5), (10_000, 5)]:
        waits = [backoff.delay(failures) for _ in range(200)]
        assert min(waits) >= 0 and max(waits) <= bound
        assert max(waits) > bound * 0.8 and min(waits) < bound * 0.2


def test_a_wait_honours_what_the_server_asks_for_within_the_cap() -> None:
    retries = Retries(limit=1, backoff=Backoff(0.1, 0.1), retry_after_cap=30)

    def busy(seconds: str) -> AnswerError:
        return answer_error(503, {"Retry-After": seconds}, b"", 1)

    assert retries.wait(busy("30"), 1) == 30
    assert retries.wait(busy("31"), 1) is None
    assert retries.wait(busy("1"), 2) is None


def test_tokens_given_at_the_start_are_used() -> None:
    tokens = Tokens.model_validate({"access_token": "a", "refresh_token": "r", "expires_in": 1})
    with Pulse("http://pulse", token=tokens) as client:
        assert client.credentials.access_token == SecretStr("a")
        assert repr(client.credentials) == "<Credentials: access token and refresh token>"


def test_importing_the_package_imports_neither_httpx_nor_websockets() -> None:
    program = (
        "import sys, pulse_sdk, pulse_sdk.contract.posts;"
        "assert not {'httpx', 'websockets', 'asyncio'} & sys.modules.keys();"
        "from pulse_sdk import Pulse; Pulse('http://pulse').posts;"
        "assert not {'websockets', 'pulse_sdk.resources.events'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_resolves_and_others_do_not() -> None:
    for name in pulse_sdk.__all__:
        assert getattr(pulse_sdk, name).__name__ == name
    assert set(pulse_sdk.__all__) <= set(dir(pulse_sdk))
    with pytest.raises(AttributeError, match="nonsense"):
        pulse_sdk.nonsense  # noqa: B018


def test_a_program_packed_without_metadata_makes_clients_too() -> None:
    program = (
        "import importlib.metadata as metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "from pulse_sdk import Pulse\n"
        "with Pulse('http://pulse') as client:\n"
        "    assert client._connection._http.headers['User-Agent'] == 'pulse-sdk/unknown'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 501, "String should have at most 500 characters"),
        (" ", "String should have at least 1 character"),
        ("\x00", "Value error, must not contain NUL characters"),
    ],
)
def test_a_wrong_text_is_told_as_text(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, Pulse("http://pulse") as client:
        client.posts.create(text)
    assert caught.value.fields == (FieldError(field="text", message=message),)
