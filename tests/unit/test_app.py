import ast
import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import services
from pulse_cli.app import COMMANDS, app, run
from pulse_cli.context import Root
from pulse_cli.errors import ExitCode, NotHealthy
from pulse_cli.stack.model import SUBSCRIPTIONS

HEAVY = {"pydantic", "rich", "httpx", "jinja2", "locust", "psutil", "aiohttp", "redis", "jwt"}


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from pulse_cli.app import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "pulse_cli.app" in loaded
    assert not HEAVY & loaded


def test_help_shows_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command.__name__} " in shown
    for code in ExitCode:
        assert f"{code.value}  {code.meaning}" in shown


def test_every_command_says_what_it_does_in_one_line() -> None:
    for command in COMMANDS:
        assert (command.__doc__ or "").strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no such command 'nothing'"),
        (["-C", "/no/such/folder", "health"], "/no/such/folder"),
        (["--set", "gateway.port", "up"], "'gateway.port' is not KEY=VALUE"),
        (["up", "--target", "moon"], "no target 'moon'; there are local, compose, kubernetes"),
        (["scale"], "missing argument 'SERVICE=N'; see: pulse scale --help"),
        (["api", "post", "--loud"], "--loud"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("pulse: ")
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_no_command_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.USAGE
    assert "Exit codes:" in capsys.readouterr().err


def test_output_that_nobody_reads_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def talk() -> None:
        """Say something to nobody."""
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    streams = sys.stdout, sys.stderr
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    app.command("talk")(talk)
    try:
        assert run(["talk"]) == 141
    finally:
        sys.stdout, sys.stderr = streams
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (NotHealthy("nothing runs"), ExitCode.NOT_HEALTHY, "pulse: nothing runs\n"),
        (OSError(28, "No space left on device", "/x"), ExitCode.UNUSABLE, "No space left"),
        (OSError(28, "No space left on device"), ExitCode.UNUSABLE, "cannot write: No space left"),
        (PermissionError(13, "Permission denied", "/x"), ExitCode.UNUSABLE, "cannot use /x"),
        (FileNotFoundError(2, "No such file", "/x"), ExitCode.UNUSABLE, "cannot use /x"),
        (KeyError("x"), ExitCode.UNEXPECTED, "unexpected KeyError"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "pulse: interrupted\n"),
    ],
    ids=["ours", "full disk", "full output", "permission", "missing", "unexpected", "interrupt"],
)
def test_a_failure_is_one_sentence_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: ExitCode,
    sentence: str,
) -> None:
    def explode() -> None:
        """Fail."""
        raise error

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    app.command("explode")(explode)
    assert run(["explode"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1
    if code is ExitCode.UNEXPECTED:
        with pytest.raises(KeyError):
            run(["--debug", "explode"])


def test_the_project_folder_and_settings_are_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def show(ctx: typer.Context) -> None:
        """Show what is configured."""
        root = Root.of(ctx)
        print(root.state, root.stack.gateway.port, root.stack.services.posts.replicas)

    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    app.command("show")(show)
    (tmp_path / "pulse.toml").write_text("[gateway]\nport = 9000\n[services.posts]\nreplicas = 2")

    assert run(["-C", str(tmp_path), "--set", "gateway.port=9001", "show"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/.pulse 9001 2\n"
    assert run(["-C", str(tmp_path), "--set", "gateway.port=many", "show"]) == ExitCode.USAGE
    assert '--set gateway.port: gateway.port = "many"' in capsys.readouterr().err


def test_every_queue_that_services_consume_is_known_to_the_command_line() -> None:
    consumed = {
        call.args[0].value
        for file in Path(services.__file__).parent.glob("*/*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Subscription"
        and isinstance(call.args[0], ast.Constant)
    }
    assert consumed == set(SUBSCRIPTIONS), "say it in pulse_cli/stack/model.py"
