"""What `pulse api` prints for people, against a Pulse in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import BaseModel

from pulse_cli.api.shown import line_of, names
from pulse_cli.app import run
from pulse_sdk import Pulse
from pulse_sdk.contract.messaging import (
    ErrorFrame,
    PresenceChange,
    PresenceFrame,
    SocketError,
    Typing,
    TypingFrame,
)
from pulse_sdk.contract.notifications import NotificationFrame
from pulse_sdk.testing import PASSWORD, FakePulse, Person, factories

URL = "http://pulse.test"

Api = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake() -> FakePulse:
    return FakePulse(URL)


@pytest.fixture
def ada(fake: FakePulse) -> Person:
    return fake.join("ada")


@pytest.fixture
def api(
    fake: FakePulse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Api]:
    """Run a command; its exit code, and what it printed on stdout and stderr."""
    with httpx.Client(transport=fake.transport) as http:

        def client(url: str, token: str | None = None) -> Pulse:
            return Pulse(url, token=token, http_client=http)

        monkeypatch.setattr("pulse_cli.api.client.Pulse", client)
        monkeypatch.setattr("pulse_cli.api.session.Pulse", client)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        monkeypatch.setenv("PULSE_API_URL", URL)

        def api(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "stdin", StringIO(stdin))
            return run(["api", *arguments]), *capsys.readouterr()

        yield api


@pytest.fixture
def ada_s(api: Api, ada: Person) -> Api:
    """The same, with ada logged in."""
    code, said, _ = api("login", ada.username, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert (code, said) == (0, f"logged in at {URL} as {ada.username}\n")
    return api


def test_a_feed_is_a_table(fake: FakePulse, ada: Person, ada_s: Api) -> None:
    ben = fake.join("ben")
    assert ada_s("follow", str(ben.id)) == (0, f"following {ben.username}\n", "")
    for number in range(3):
        ben.pulse.posts.create(f"[red]Number\x1b {number}[/red]")
    code, shown, said = ada_s("feed", "--limit", "2")
    assert code == 0
    header, first, second = shown.splitlines()
    assert header.split() == ["WHEN", "AUTHOR", "TEXT", "LIKES", "COMMENTS"]
    assert f" {ben.username} " in first
    assert "[red]Number  2[/red]" in first
    assert "[red]Number  1[/red]" in second
    cursor = said.removeprefix("there are more: --cursor ").rstrip()
    assert "Number  0" in ada_s("feed", "--cursor", cursor)[1]
    assert ada_s("unfollow", ben.username)[1] == f"no longer following {ben.username}\n"
    assert len(ada_s("feed")[1].splitlines()) == 1


def test_notifications_are_a_table_with_names(fake: FakePulse, ada: Person, ada_s: Api) -> None:
    ben = fake.join("ben")
    ben.pulse.social.follow(ada.id)
    code, shown, _ = ada_s("notifications", "--mark-read")
    assert code == 0
    assert any(line.split()[2:4] == ["follower", ben.username] for line in shown.splitlines())
    assert any(line.split()[2:4] == ["welcome", "Pulse"] for line in shown.splitlines())
    assert ada.pulse.notifications.unread().unread == 0


def test_what_is_made_is_told_by_its_id(fake: FakePulse, ada: Person, ada_s: Api) -> None:
    ben = fake.join("ben")
    made = UUID(ada_s("post", "-", stdin="Hello\n")[1].strip())
    assert ada.pulse.posts.get(made).text == "Hello"
    code, said, _ = ada_s("message", f"@{ben.username}", "Hello")
    assert code == 0
    (conversation,) = ben.pulse.conversations.list()
    (sent,) = ben.pulse.conversations.messages(conversation.id)
    assert said == f"{sent.id}\n"
    assert ada_s("whoami")[1] == f"{ada.username} ({ada.user.display_name}) at {URL}\n"


def test_a_session_outlives_its_access_token_until_it_is_ended_elsewhere(
    fake: FakePulse, ada: Person, ada_s: Api
) -> None:
    fake.advance(timedelta(minutes=16))
    assert ada_s("whoami")[0] == 0
    ada.pulse.auth.logout_everywhere()
    fake.advance(timedelta(minutes=16))
    code, _, said = ada_s("whoami")
    assert code == 8
    assert f"the session at {URL} has ended; log in with: pulse api login" in said
    assert ada_s("logout")[1] == f"nobody was logged in at {URL}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["post", "x" * 501], 2, "text: "),
        (["post", " "], 2, "text: "),
        (["follow", "nobody_here"], 8, "there is nobody called 'nobody_here'"),
        (["follow", "@"], 8, "there is nobody called '@'"),
        (["follow", str(UUID(int=7))], 8, f"{URL}: "),
        (["message", str(UUID(int=7)), "Hello"], 8, f"{URL}: "),
        (["feed", "--cursor", "nonsense"], 2, "cursor"),
        (["feed", "--limit", "0"], 2, "--limit"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "",
)
def test_a_request_that_makes_no_sense_is_a_sentence(
    ada_s: Api, arguments: list[str], code: int, sentence: str
) -> None:
    ended, shown, said = ada_s(*arguments)
    assert (ended, shown) == (code, "")
    assert sentence in said


def test_every_live_frame_is_a_line(fake: FakePulse, ada: Person) -> None:
    ben = fake.join("ben")
    typing = Typing(conversation_id=uuid4(), user_id=ben.id)
    refusal = SocketError(code="rate_limited", detail="Too many\nframes.")
    notice = factories.notification(kind="like", actor_id=None, subject={"post_id": "7"})
    frames: dict[str, BaseModel] = {
        f"{ben.username} is writing": TypingFrame(data=typing),
        f"{ben.username} is online": PresenceFrame(
            data=PresenceChange(user_id=ben.id, online=True)
        ),
        f"{UUID(int=7)} is offline": PresenceFrame(
            data=PresenceChange(user_id=UUID(int=7), online=False)
        ),
        "like from Pulse post_id=7": NotificationFrame(data=notice),
        "rate_limited: Too many frames.": ErrorFrame(data=refusal),
    }
    with fake.client(ada) as client:
        named = names(client)
        for line, frame in frames.items():
            assert line_of(frame, named).partition(" ")[2] == line
    assert len(fake.sent("GET /api/v1/users/{user_id}", by=ada)) == 2
