"""`pulse api` against the platform, as two people at their terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PULSE, RunningStack
from tests.e2e.conftest import PASSWORD, Join, eventually

LONG = 60.0


@dataclass(frozen=True)
class Terminal:
    """Where somebody types: their own state folder, in the stack's folder."""

    stack: RunningStack
    home: Path

    @property
    def _command(self) -> list[str]:
        return [str(PULSE), "-C", str(self.stack.project_dir), "api"]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.home)}

    def api(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
            env=self._environment,
        )

    def told(self, *arguments: str, stdin: str = "") -> dict[str, object]:
        """What a command that goes well answers with `--json`."""
        done = self.api(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def login(self, username: str) -> None:
        """Log in as somebody."""
        self.told("login", username, "--password-stdin", stdin=f"{PASSWORD}\n")

    @contextmanager
    def tailing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Listen, once the connection is made."""
        with subprocess.Popen(
            [*self._command, "tail", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        ) as tail:
            try:
                assert tail.stderr is not None
                assert tail.stderr.readline().startswith("listening at ")
                yield tail
            finally:
                tail.kill()


@pytest.mark.timeout(300)  # a process for each of two dozen commands
async def test_a_day_at_the_command_line(stack: RunningStack, join: Join, tmp_path: Path) -> None:
    ada, ben = await join("ada"), await join("ben")
    hers, his = Terminal(stack, tmp_path / "ada"), Terminal(stack, tmp_path / "ben")
    hers.login(ada.user.username)
    his.login(ben.user.username)
    me = his.told("whoami")["user"]
    assert isinstance(me, dict)
    assert me["id"] == str(ben.user.id)

    assert his.told("follow", f"@{ada.user.username}")["following"] is True
    posted = hers.told("post", "-", "--idempotency-key", "once", stdin="From a terminal\n")
    assert hers.told("post", "From a terminal", "--idempotency-key", "once") == posted

    async def feed() -> list[object]:
        items = his.told("feed")["items"]
        assert isinstance(items, list)
        return items

    (read,) = await eventually(feed, lambda items: len(items) == 1)
    assert isinstance(read, dict)
    assert read["id"] == posted["id"]
    assert "From a terminal" in his.api("feed").stdout

    with his.tailing("--json", "--count", "1") as tail:
        sent = hers.told("message", ben.user.username, "Hello")
        assert tail.stdout is not None
        frame = json.loads(tail.stdout.readline())
        assert (frame["type"], frame["data"]["id"]) == ("message", sent["id"])
        assert tail.wait(LONG) == 0
    with his.tailing() as tail:
        again = hers.api("message", str(sent["conversation_id"]), "And again")
        assert again.returncode == 0, again.stderr
        assert tail.stdout is not None
        assert tail.stdout.readline().endswith(f" {ada.user.username}: And again\n")
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

    assert his.told("unfollow", ada.user.username)["following"] is False
    nobody = his.api("follow", "nobody_at_all")
    assert nobody.returncode == 8
    assert "there is nobody called 'nobody_at_all'" in nobody.stderr

    assert his.told("logout")["was_logged_in"] is True
    assert his.told("logout")["was_logged_in"] is False
    stranger = his.api("whoami")
    assert (stranger.returncode, stranger.stdout) == (8, "")
    assert "log in with: pulse api login" in stranger.stderr
    assert hers.api("whoami").returncode == 0
