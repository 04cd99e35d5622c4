"""The local target: what `pulse up`, `down`, `status`, `logs`, `restart` and `scale` do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.local.processes import find_labelled
from tests.conftest import CONFIGURATION, PULSE, RunningStack, pulse


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """An empty project folder; nothing of its stack survives the test."""
    (tmp_path / "pulse.toml").write_text(CONFIGURATION)
    yield tmp_path
    pulse(tmp_path, "down")


def status(project: Path) -> dict[str, dict[str, Any]]:
    shown = pulse(project, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    return {one["name"]: one for one in json.loads(shown.stdout)["components"]}


def pids(stack: RunningStack) -> dict[str, int]:
    return {name: one["pid"] for name, one in status(stack.project_dir).items()}


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_another_target_is_refused_while_this_one_runs(stack: RunningStack) -> None:
    refused = stack.pulse("up", "--target", "compose")
    assert refused.returncode == 7
    assert "runs on target local, not compose" in refused.stderr


def test_up_again_changes_nothing(stack: RunningStack) -> None:
    before = pids(stack)
    again = stack.pulse("up", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["gateway_url"] == stack.gateway_url
    assert pids(stack) == before


def test_up_starts_what_does_not_run(stack: RunningStack) -> None:
    psutil.Process(pids(stack)["events-0"]).kill()
    assert stack.pulse("up").returncode == 0
    assert status(stack.project_dir)["events-0"]["state"] in {"running", "starting"}


def test_a_killed_service_is_started_again_and_counted(stack: RunningStack) -> None:
    before = status(stack.project_dir)["social-0"]
    psutil.Process(before["pid"]).kill()

    def is_back() -> bool:
        now = status(stack.project_dir)["social-0"]
        return now["pid"] not in {None, before["pid"]} and now["restarts"] > before["restarts"]

    wait_until(is_back)
    assert stack.pulse("up").returncode == 0


def test_restart_gives_a_service_a_new_process_and_leaves_others(stack: RunningStack) -> None:
    before = pids(stack)
    assert stack.pulse("restart", "posts").returncode == 0
    after = pids(stack)
    assert after.pop("posts-0") != before.pop("posts-0")
    assert after == before


def test_scale_adds_and_removes_instances_without_touching_others(stack: RunningStack) -> None:
    before = pids(stack)
    grown = stack.pulse("scale", "posts=2")
    assert grown.returncode == 0, grown.stderr
    assert pids(stack).keys() - before.keys() == {"posts-1"}
    peers = json.loads((stack.state / "rendered/peers.json").read_text())
    second = f"http://127.0.0.1:{stack.stack.instance_port('posts', 1)}"
    assert second in peers["posts"]
    assert urllib.request.urlopen(f"{second}/health/ready").status == 200

    assert stack.pulse("scale", "posts=1").returncode == 0
    assert pids(stack) == before
    assert second not in (stack.state / "rendered/peers.json").read_text()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("feed=2", "there is no service 'feed'"),
        ("posts=many", "SERVICE=N"),
        ("posts=0", "posts cannot have 0 instances"),
        ("posts=16", "PostgreSQL connections"),
    ],
)
def test_scale_refuses_in_one_sentence(stack: RunningStack, argument: str, said: str) -> None:
    refused = stack.pulse("scale", argument)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_logs_are_of_the_named_component_only(stack: RunningStack) -> None:
    shown = stack.pulse("logs", "postgres", "-n", "1000")
    assert "ready to accept connections" in shown.stdout
    assert stack.pulse("logs", "nothing").returncode == 2


def test_logs_follow_what_is_written(stack: RunningStack, tmp_path: Path) -> None:
    shown, ours = tmp_path / "shown", "a line of its own\n"

    def written_and_shown() -> bool:
        with (stack.state / "logs/redis.log").open("a") as log:
            log.write(ours)
        return ours in shown.read_text()

    with (
        shown.open("w") as output,
        subprocess.Popen(
            [str(PULSE), "-C", str(stack.project_dir), "logs", "-f", "-n", "0", "redis"],
            stdout=output,
        ) as following,
    ):
        try:
            wait_until(written_and_shown)
            following.send_signal(signal.SIGINT)
            assert following.wait(60) == 130
        finally:
            following.kill()


def test_no_secret_is_in_a_command_line_or_environment(stack: RunningStack) -> None:
    secrets = {f.read_text() for f in (stack.state / "secrets").rglob("*") if f.is_file()}
    assert secrets
    for process in find_labelled(stack.state):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's workers come and go
            shown = " ".join(process.cmdline()) + " ".join(process.environ().values())
            assert not [secret for secret in secrets if secret in shown]


def test_everything_listens_on_loopback_alone(stack: RunningStack) -> None:
    listening: set[str] = set()
    for process in find_labelled(stack.state):
        with suppress(psutil.NoSuchProcess):
            listening |= {
                connection.laddr.ip
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    assert listening
    assert listening <= {"127.0.0.1", "::1"}


def test_state_is_private(stack: RunningStack) -> None:
    assert stack.state.stat().st_mode & 0o077 == 0
    for file in stack.state.rglob("secrets/*/*"):
        assert file.stat().st_mode & 0o077 == 0


def test_up_starts_everything_and_down_ends_it_twice(project: Path) -> None:
    up = pulse(project, "up", "--isolated")
    assert up.returncode == 0, up.stderr
    components = status(project)
    assert {f"{name}-0" for name in SERVICE_NAMES} < components.keys()
    assert {"postgres", "redis", "rabbitmq", "envoy"} < components.keys()
    assert components["migrate"]["state"] == "done"
    assert all(c["restarts"] == 0 for c in components.values())
    down = pulse(project, "down")
    assert down.returncode == 0
    # Whether it also gets done with that within the bound of `pulse down` is the disk's affair.
    said = (project / ".pulse/logs/postgres.log").read_text()
    assert "received fast shutdown request" in said
    assert find_labelled(project / ".pulse") == []
    assert pulse(project, "down").returncode == 0
    stopped = pulse(project, "status", "--json")
    assert stopped.returncode == 6
    assert json.loads(stopped.stdout)["running"] is False


def test_a_killed_supervisor_leaves_nothing_that_the_next_up_does_not_clear(project: Path) -> None:
    assert pulse(project, "up", "--isolated").returncode == 0
    supervisor = int((project / ".pulse/run/supervisord.pid").read_text())
    orphans = [p for p in find_labelled(project / ".pulse") if p.pid != supervisor]
    os.kill(supervisor, signal.SIGKILL)
    assert pulse(project, "status").returncode == 6

    up = pulse(project, "up", "--isolated")
    assert up.returncode == 0, up.stderr
    assert not {p.pid for p in orphans} & {p.pid for p in find_labelled(project / ".pulse")}

    os.kill(int((project / ".pulse/run/supervisord.pid").read_text()), signal.SIGKILL)
    assert pulse(project, "down").returncode == 0
    assert find_labelled(project / ".pulse") == []


def test_an_interrupted_up_leaves_nothing_and_the_next_one_works(project: Path) -> None:
    with subprocess.Popen(
        [str(PULSE), "-C", str(project), "up", "--isolated"], stderr=subprocess.PIPE
    ) as starting:
        wait_until((project / ".pulse/run/supervisord.pid").exists)
        starting.send_signal(signal.SIGINT)
        assert starting.wait(60) == 130
    assert find_labelled(project / ".pulse") == []
    assert pulse(project, "up", "--isolated").returncode == 0


def test_up_killed_on_its_way_is_completed_by_the_next(project: Path) -> None:
    with subprocess.Popen([str(PULSE), "-C", str(project), "up", "--isolated"]) as starting:
        wait_until((project / ".pulse/run/supervisord.pid").exists)
        starting.kill()
    up = pulse(project, "up", "--isolated")
    assert up.returncode == 0, up.stderr


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (project / "pulse.toml").write_text(f"[redis]\nport = {port}\n")
        up = pulse(project, "up")
    assert up.returncode == 7
    assert f"{port} (redis)" in up.stderr
    assert f"pid {os.getpid()}" in up.stderr
    assert find_labelled(project / ".pulse") == []


def test_a_component_that_fails_is_shown_with_its_log_and_all_is_stopped(project: Path) -> None:
    assert pulse(project, "up", "--isolated").returncode == 0
    pulse(project, "down")
    (project / ".pulse/data/postgres/PG_VERSION").write_text("8\n")
    up = pulse(project, "up", "--isolated")
    assert up.returncode == 6
    assert "postgres did not become ready" in up.stderr
    assert "FATAL" in up.stderr
    assert "skipped" in up.stderr
    assert find_labelled(project / ".pulse") == []


def test_a_half_made_database_is_made_again(project: Path) -> None:
    half = project / ".pulse/data/.initdb-left"
    half.mkdir(parents=True)
    (project / ".pulse/data/postgres").mkdir()
    up = pulse(project, "up", "--isolated")
    assert up.returncode == 0, up.stderr
    assert not half.exists()


def test_a_file_in_place_of_the_state_folder_is_one_sentence(project: Path) -> None:
    (project / ".pulse").touch()
    up = pulse(project, "up")
    assert up.returncode == 7
    assert len(up.stderr.splitlines()) == 1
    assert pulse(project, "down").returncode == 0


def test_a_folder_of_any_name_holds_a_stack(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces" / ("long" * 30)
    folder.mkdir(parents=True)
    try:
        up = pulse(folder, "up", "--isolated")
        assert up.returncode == 0, up.stderr
        assert pulse(folder, "status").returncode == 0
    finally:
        assert pulse(folder, "down").returncode == 0
