"""`pulse api` against the platform, as two people at their terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from pulse_cli.app import run
from tests.conftest import PULSE, RunningStack
from tests.e2e.conftest import PASSWORD, Join, eventually

LONG = 60.0


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Terminal:
    """Where somebody types: their own state folder, in the stack's folder.

    Commands run in this process, since a new one for each would take most of the test's time.
    """

    stack: RunningStack
    home: Path
    capture: pytest.CaptureFixture[str]

    def api(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command to its end."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(self.home))
            patch.setattr(sys, "stdin", StringIO(stdin))
            code = run(["-C", str(self.stack.project_dir), "api", *arguments])
        return Done(code, *self.capture.readouterr())

    def told(self, *arguments: str, stdin: str = "") -> dict[str, object]:
        """What a command that goes well answers with `--json`."""
        done = self.api(*arguments, "--json", stdin=stdin)
        assert done.code == 0, done.err
        answer = json.loads(done.out)
        assert isinstance(answer, dict)
        return answer

    @contextmanager
    def tailing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Listen, once the connection is made."""
        with subprocess.Popen(
            [str(PULSE), "-C", str(self.stack.project_dir), "api", "tail", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(self.home)},
        ) as tail:
            try:
                assert tail.stderr is not None
                assert tail.stderr.readline().startswith("listening at ")
                yield tail
            finally:
                tail.kill()


async def test_a_day_at_the_command_line(
    stack: RunningStack, join: Join, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ben = await join("ben")
    hers = Terminal(stack, tmp_path / "ada", capsys)
    his = Terminal(stack, tmp_path / "ben", capsys)
    ada = f"ada_{uuid.uuid4().hex[:12]}"
    email = ("--email", f"{ada}@people.example", "--password-stdin")
    hers.told("register", ada, *email, stdin=f"{PASSWORD}\n")
    his.told("login", ben.user.username, "--password-stdin", stdin=f"{PASSWORD}\n")
    me = his.told("whoami")["user"]
    assert isinstance(me, dict)
    assert me["id"] == str(ben.user.id)

    assert his.told("follow", f"@{ada}")["following"] is True
    posted = hers.told("post", "-", "--idempotency-key", "once", stdin="From a terminal\n")
    assert hers.told("post", "From a terminal", "--idempotency-key", "once") == posted

    async def feed() -> list[object]:
        items = his.told("feed")["items"]
        assert isinstance(items, list)
        return items

    (read,) = await eventually(feed, lambda items: len(items) == 1)
    assert isinstance(read, dict)
    assert read["id"] == posted["id"]
    assert "From a terminal" in his.api("feed").out

    with his.tailing("--json", "--count", "1") as tail:
        sent = hers.told("message", ben.user.username, "Hello")
        assert tail.stdout is not None
        frame = json.loads(tail.stdout.readline())
        assert (frame["type"], frame["data"]["id"]) == ("message", sent["id"])
        assert tail.wait(LONG) == 0
    with his.tailing() as tail:
        again = hers.api("message", str(sent["conversation_id"]), "And again")
        assert again.code == 0, again.err
        assert tail.stdout is not None
        assert tail.stdout.readline().endswith(f" {ada}: And again\n")
        tail.send_signal(signal.SIGINT)
        _, words = tail.communicate(timeout=LONG)
        assert (tail.returncode, words) == (130, "pulse: interrupted\n")

    async def kinds() -> set[object]:
        items = hers.told("notifications")["items"]
        assert isinstance(items, list)
        return {item["kind"] for item in items}

    await eventually(kinds, lambda kinds: {"welcome", "follower"} <= kinds)
    hers.told("notifications", "--mark-read")
    assert hers.told("notifications", "--unread")["items"] == []

    assert his.told("unfollow", ada)["following"] is False
    nobody = his.api("follow", "nobody_at_all")
    assert nobody.code == 8
    assert "there is nobody called 'nobody_at_all'" in nobody.err

    assert his.told("logout")["was_logged_in"] is True
    assert his.told("logout")["was_logged_in"] is False
    stranger = his.api("whoami")
    assert (stranger.code, stranger.out) == (8, "")
    assert "log in with: pulse api login" in stranger.err
    assert hers.api("whoami").code == 0
