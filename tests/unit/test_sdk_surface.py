"""What people see who try the client in a shell: names, versions, and what things look like."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

import pulse_sdk
from pulse_sdk import AsyncPulse, Backoff, BreakerPolicy, InvalidInput, Pulse, Retries

SECRET = "very-secret"


@pytest.fixture(params=[Pulse, AsyncPulse])
def client(request: pytest.FixtureRequest) -> Any:
    return request.param("http://pulse", token=SECRET)


def test_everything_public_is_found_and_nothing_else() -> None:
    for name in pulse_sdk.__all__:
        assert getattr(pulse_sdk, name).__name__ == name
    assert {"Pulse", "errors", "realtime", "testing"} <= set(dir(pulse_sdk))
    with pytest.raises(AttributeError, match="no attribute 'Puls'"):
        pulse_sdk.Puls  # noqa: B018


@pytest.mark.parametrize(
    "name", ["errors.NotFound", "hooks.Attempt", "paging.Listing", "raw.Answer"]
)
def test_modules_come_with_the_package(name: str) -> None:
    program = f"import pulse_sdk; pulse_sdk.{name}"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_version_is_that_of_the_package() -> None:
    assert pulse_sdk.__version__ == version("pulse-platform")


def test_things_say_what_they_are_and_no_secret(client: Any) -> None:
    kind = type(client).__name__
    whose = f"<{kind} of http://pulse, <Credentials: access token>>"
    listing = "Listing" if kind == "Pulse" else "AsyncListing"
    raw = "RawPulse" if kind == "Pulse" else "AsyncRawPulse"
    for thing, said in [
        (client, whose),
        (client.with_options(deadline=1), whose),
        (client.posts, f"<Posts of {whose}>"),
        (client.realtime, f"<Realtime of {whose}>"),
        (client.raw, f"<{raw} of {whose}>"),
        (client.raw.feed, f"<Feed of <{raw} of {whose}>>"),
    ]:
        assert repr(thing) == said
        assert SECRET not in said
    assert repr(client.posts.list(limit=5)) == f"<{listing} of posts.list(limit=5)>"
    found = client.conversations.messages("1", cursor="c")
    assert repr(found) == f"<{listing} of conversations.messages(limit=20, cursor='c')>"


def test_what_listens_says_how_far_it_is(client: Any) -> None:
    frames = client.realtime.messages()
    assert repr(frames) == f"<{type(frames).__name__} of {client!r}, not begun>"
    assert repr(client.realtime.frames(after=7)).endswith(", not begun, at position 7>")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Retries(limit=-1), "retries"),
        (lambda: Retries(limit=True), "retries"),
        (lambda: Retries(retry_after_cap=-1), "retry_after_cap"),
        (lambda: Backoff(first=-1), "first"),
        (lambda: Backoff(most=float("nan")), "most"),
        (lambda: BreakerPolicy(failing_share=2), "failing_share"),
        (lambda: BreakerPolicy(at_least=0), "at_least"),
        (lambda: BreakerPolicy(window_seconds=0), "window_seconds"),
        (lambda: BreakerPolicy(open_seconds=-1), "open_seconds"),
    ],
)
def test_numbers_that_cannot_be_meant_are_told_at_once(make: Any, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: must be"):
        make()
