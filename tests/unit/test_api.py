"""`pulse api` without a stack: the stored session, where to call, and what errors mean."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest

from pulse_cli.api.client import address, explained
from pulse_cli.api.session import Session, sessions_folder
from pulse_cli.api.shown import line_of, plain
from pulse_cli.app import run
from pulse_cli.context import Root
from pulse_cli.errors import ExitCode, NotHealthy, PulseError, Refused
from pulse_cli.stack.load import load_stack
from pulse_sdk import errors as sdk
from pulse_sdk.contract.common import FieldError, Problem
from pulse_sdk.contract.messaging import Message, MessageFrame
from pulse_sdk.contract.users import Tokens
from tests.unit.sdk_support import tokens

URL = "http://pulse.example"


class RefreshServer(ThreadingHTTPServer):
    """Exchanges each refresh token once; a second use is refused."""

    generation = 0
    asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: RefreshServer

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        good = given["refresh_token"] == f"refresh-{self.server.generation}"
        self.server.generation += good
        answer = tokens(self.server.generation) if good else {}
        content = json.dumps(answer).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[RefreshServer]:
    with RefreshServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PULSE_API_URL", raising=False)
    return tmp_path


def begun(url: str) -> Session:
    session = Session(url)
    session.begin(Tokens.model_validate(tokens(0)))
    return session


def test_sessions_are_private_and_apart_by_address() -> None:
    begun(URL)
    assert Session(URL).token(None) == "access-0"
    assert "access-0" not in repr(Session(URL))
    with pytest.raises(Refused, match="nobody is logged in at http://other"):
        Session("http://other").token(None)
    assert sessions_folder().stat().st_mode & 0o777 == 0o700
    for file in sessions_folder().iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_processes_that_share_a_session_renew_it_once(server: RefreshServer) -> None:
    begun(server.url)
    code = f"""
from pulse_cli.api.session import Session
print("ready", flush=True)
input()
print(Session({server.url!r}).token("access-0"))
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=30)[0] for process in started] == ["access-1\n"] * 3
    assert server.asked == 1
    assert Session(server.url).token("access-1") == "access-2"


def test_a_session_that_has_ended_is_forgotten(server: RefreshServer) -> None:
    session = begun(server.url)
    server.generation = 7
    with pytest.raises(Refused, match="has ended; log in with"):
        session.token("access-0")
    assert not session.exists


def test_a_command_does_not_go_on_as_whoever_logs_in_meanwhile() -> None:
    session = begun(URL)
    assert session.token(None) == "access-0"
    begun(URL)
    with pytest.raises(Refused, match="logged in anew"):
        session.token("access-0")
    assert Session(URL).token(None) == "access-0"


def test_a_session_survives_a_server_that_is_away() -> None:
    session = begun("http://127.0.0.1:1")
    with pytest.raises(sdk.ConnectionFailed):
        session.token("access-0")
    assert session.token(None) == "access-0"


def test_a_file_that_is_no_session_says_how_to_mend_it() -> None:
    session = begun(URL)
    (file,) = sessions_folder().glob("*.json")
    file.write_text("{")
    with pytest.raises(Refused, match="cannot be understood; log in with"):
        session.token(None)


def test_the_state_folder_is_the_user_s(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert sessions_folder() == home / "state" / "pulse" / "sessions"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert sessions_folder() == Path.home() / ".local" / "state" / "pulse" / "sessions"


def test_where_to_call_is_told_or_found(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    root = Root(home)
    with pytest.raises(NotHealthy, match=r"no stack is running.*--url"):
        address(root, None)
    (home / ".pulse" / "run").mkdir(parents=True)
    stack = load_stack(home, {"gateway.port": 9123}, {})
    (home / ".pulse" / "run" / "stack.json").write_text(stack.model_dump_json())
    assert address(root, None) == "http://127.0.0.1:9123"
    monkeypatch.setenv("PULSE_API_URL", "http://variable/")
    assert address(root, None) == "http://variable"
    assert address(root, URL) == URL
    assert load_stack(home, {}).gateway.port == 8000  # the variable is none of the stack's


def problem(status: int, code: str = "some_code", **more: object) -> Problem:
    facts = {"title": "Some title", "status": status, "code": code, "detail": "The detail."}
    return Problem.model_validate({**facts, **more})


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (sdk.ConnectionFailed("no answer from x", 3), 6, "no answer from x; start the stack with"),
        (sdk.ServerError(problem(503)), 6, f"{URL}: The detail (503, correlation id None); see:"),
        (sdk.NotAuthenticated(problem(401)), 8, f"{URL}: The detail; log in with: pulse api login"),
        (sdk.NotAuthenticated(problem(401, "credentials_wrong")), 8, f"{URL}: The detail"),
        (sdk.Forbidden(problem(403)), 8, f"{URL}: The detail"),
        (sdk.NotFound(problem(404)), 8, f"{URL}: The detail"),
        (sdk.NotFound(problem(404, "http_404")), 2, "is no Pulse that this version understands"),
        (sdk.RateLimited(problem(429), 1, 7.0), 8, f"{URL}: The detail; try again in 7 s"),
        (sdk.InvalidInput.of("text", "too long"), 2, "text: too long"),
        (sdk.InvalidInput.of("base_url", "no URL"), 2, "--url: no URL"),
        (
            sdk.InvalidRequest(problem(422, errors=[FieldError(field="text", message="empty")])),
            2,
            "text: empty",
        ),
        (sdk.Conflict(problem(409, detail="a\x1b[31mb\nc")), 8, f"{URL}: a [31mb c"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_of_the_client_is_a_sentence_and_an_exit_code(
    error: sdk.PulseError, code: int, sentence: str
) -> None:
    shown = explained(error, URL)
    assert isinstance(shown, PulseError)
    assert shown.exit_code == code
    assert sentence in str(shown)
    assert "\n" not in str(shown)


def test_texts_of_others_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[31m\r\nb\u202ec\x9b") == "a [31m  b c "
    assert plain("👩\u200d🚀 é") == "👩\u200d🚀 é"
    message = Message(
        id=UUID(int=1),
        conversation_id=UUID(int=2),
        sender_id=UUID(int=3),
        text="one\x1b]0;title\x07\ntwo",
        created_at=datetime.now(UTC),
    )
    line = line_of(MessageFrame(position=1, data=message), lambda _: "a\x1bda")
    assert line.isprintable()
    assert line.endswith(" a da: one ]0;title  two")


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["login", "ada"], "", "there is no terminal to ask for the password"),
        (["login", "ada", "--password-stdin"], "\n", "the password is empty"),
    ],
)
def test_a_password_that_cannot_be_had_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    stdin: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(stdin))
    assert run(["api", *arguments, "--url", URL]) == ExitCode.USAGE
    assert sentence in capsys.readouterr().err


def test_logging_out_twice_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["api", "logout", "--url", URL, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"url": URL, "was_logged_in": False}


def test_a_state_folder_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    assert run(["api", "whoami", "--url", URL]) == ExitCode.UNUSABLE
    assert str(home / "file") in capsys.readouterr().err
