"""The compose target on a real engine: `make test-compose` makes the images and runs these."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.stack.secrets import owned
from pulse_cli.targets.compose.engine import connect
from pulse_cli.targets.compose.processes import in_containers
from pulse_cli.targets.compose.project import project_name
from tests.conftest import RunningStack, pulse

pytestmark = pytest.mark.timeout(600)

REGISTRY = os.environ.get("COMPOSE_TEST_REGISTRY")
if REGISTRY is None:
    pytest.skip("only with the images of make test-compose", allow_module_level=True)

SUITE = os.environ["COMPOSE_TEST_SUITE"]

CONFIGURATION = f"""
target = "compose"

[gateway]
kind = "envoy"
requests_per_second = 1000

[images]
base = "{REGISTRY}/base:{SUITE}"
services = "{REGISTRY}/services:{SUITE}"
postgres = "{REGISTRY}/postgres:{SUITE}"
redis = "{REGISTRY}/redis:{SUITE}"
rabbitmq = "{REGISTRY}/rabbitmq:{SUITE}"
envoy = "{REGISTRY}/envoy:{SUITE}"

[compose]
wheels = "{os.environ["COMPOSE_TEST_WHEELS"]}"
"""

UP_SECONDS = 400


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of containers in a folder of its own."""
    project = tmp_path_factory.mktemp("compose")
    (project / "pulse.toml").write_text(CONFIGURATION)
    try:
        up = pulse(project, "up", "--isolated", "--json", timeout=UP_SECONDS)
        assert up.returncode == 0, up.stderr
        yield RunningStack(project, json.loads(up.stdout)["gateway_url"])
    finally:
        pulse(project, "down")


def status(stack: RunningStack) -> dict[str, dict[str, Any]]:
    shown = stack.pulse("status", "--json")
    assert shown.returncode == 0, shown.stderr
    return {one["name"]: one for one in json.loads(shown.stdout)["components"]}


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)


def test_everything_runs_and_is_healthy(stack: RunningStack) -> None:
    components = status(stack)
    assert {f"{name}-0" for name in SERVICE_NAMES} < components.keys()
    assert components["migrate"]["state"] == components["openapi"]["state"] == "done"
    assert all(one["restarts"] == 0 for one in components.values())
    health = stack.pulse("health", "--wait", "30")
    assert health.returncode == 0, health.stderr


def test_the_machine_is_found_fit(stack: RunningStack) -> None:
    looked = stack.pulse("doctor", "--json")
    assert looked.returncode == 0, looked.stdout
    checks = {one["name"]: one for one in json.loads(looked.stdout)["checks"]}
    assert checks["images"]["detail"] == "5 of 5 are here"
    assert checks["ports and network"]["detail"] == "in use by this folder's stack"


def test_containers_may_do_next_to_nothing(stack: RunningStack) -> None:
    for name, container in connect(project_name(stack.state)).containers().items():
        host, config = container.attrs["HostConfig"], container.attrs["Config"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert config["User"].split(":")[0] not in {"", "root", "0"}, name
        assert not [text for text in config["Env"] if "PASSWORD=" in text or "KEY=" in text], name
        for bindings in (host["PortBindings"] or {}).values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, name


def test_a_service_sees_its_own_secrets_alone(stack: RunningStack) -> None:
    container = connect(project_name(stack.state)).containers()["posts-0"]
    found = container.exec_run(["ls", "/run/secrets"]).output
    assert isinstance(found, bytes)
    assert found.decode().split() == list(owned("posts"))


def test_the_project_can_be_used_by_hand(stack: RunningStack) -> None:
    command = ["docker", "compose", "--project-directory", str(stack.state)]
    command += ["-f", str(stack.state / "compose" / "compose.yaml"), "ps", "--services"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(shown.stdout.split()) == {*status(stack)} - {"migrate", "openapi"}


def test_up_again_changes_nothing(stack: RunningStack) -> None:
    before = {name: one["pid"] for name, one in status(stack).items()}
    again = stack.pulse("up")
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == stack.gateway_url
    assert {name: one["pid"] for name, one in status(stack).items()} == before


def test_another_target_is_not_started_instead(stack: RunningStack) -> None:
    refused = stack.pulse("up", "--target", "local")
    assert refused.returncode == 7
    assert "runs on target compose, not local" in refused.stderr


def test_logs_are_the_containers_own(stack: RunningStack) -> None:
    shown = stack.pulse("logs", "rabbitmq", "posts", "-n", "1")
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["rabbitmq", "posts-0"]


def test_the_gateway_keeps_its_policies(stack: RunningStack) -> None:
    verified = stack.pulse("verify", "gateway")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_people_are_seeded_and_load_is_measured(stack: RunningStack, tmp_path: Path) -> None:
    seeded = stack.pulse("seed", "--users", "50", "--posts-per-user", "2")
    assert seeded.returncode == 0, seeded.stderr
    report = tmp_path / "report.json"
    options = ("--users", "20", "--rate", "40", "--ramp", "1", "--duration", "5")
    bench = stack.pulse("bench", "mixed", *options, "--json", str(report))
    # How fast it was says nothing on a machine that does much else.
    assert bench.returncode in {0, 3, 4}, bench.stderr
    assert {"users", "posts", "social", "postgres", "gateway"} <= cpu_components(report)


def cpu_components(report: Path) -> set[str]:
    return set(json.loads(report.read_text())["environment"]["cpu_us_per_request"])


def test_scaling_is_followed_by_the_gateway(stack: RunningStack) -> None:
    before = {name: one["pid"] for name, one in status(stack).items()}
    scaled = stack.pulse("scale", "posts=2")
    assert scaled.returncode == 0, scaled.stderr
    admin = f"http://127.0.0.1:{stack.stack.gateway.admin_port}"
    compose, services = stack.stack.compose, SERVICE_NAMES.index("posts")
    added = f"posts::{compose.instance_address(services, 1)}:"
    wait_until(lambda: added in httpx.get(f"{admin}/clusters").text)
    assert before.items() <= {n: one["pid"] for n, one in status(stack).items()}.items()
    back = stack.pulse("scale", "posts=1")
    assert back.returncode == 0, back.stderr
    assert added not in httpx.get(f"{admin}/clusters").text
    assert {name: one["pid"] for name, one in status(stack).items()} == before


def test_a_killed_process_comes_back(stack: RunningStack) -> None:
    pid = status(stack)["users-0"]["pid"]
    assert pid in {process.pid for process in in_containers(stack.state)}
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status(stack)["users-0"]["pid"] not in {None, pid}, 60)
    assert status(stack)["users-0"]["restarts"] == 1
    health = stack.pulse("health", "--wait", "60")
    assert health.returncode == 0, health.stderr


def test_what_cannot_start_is_shown_and_removed(tmp_path: Path) -> None:
    (tmp_path / "pulse.toml").write_text(CONFIGURATION.replace(f"{REGISTRY}/redis", "no-such/img"))
    missing = pulse(tmp_path, "up", "--isolated")
    assert missing.returncode == 5
    assert "no-such/img" in missing.stderr
    assert "images.redis" in missing.stderr

    # The base image runs, and is no Redis.
    broken = CONFIGURATION.replace(f"{REGISTRY}/redis", f"{REGISTRY}/base")
    (tmp_path / "pulse.toml").write_text(broken)
    failed = pulse(tmp_path, "up", "--isolated")
    assert failed.returncode in {6, 7}
    assert "redis" in failed.stderr
    assert connect(project_name(tmp_path / ".pulse")).containers() == {}


def test_down_removes_everything_without_the_state_folder(stack: RunningStack) -> None:
    stack.state.rename(stack.state.with_name("away"))
    down = stack.pulse("down")
    assert down.returncode == 0, down.stderr
    assert f"stopped {len(SERVICE_NAMES) + 6}" in down.stderr
    engine = connect(project_name(stack.state))
    assert engine.containers() == {}
    assert engine.networks() == []
    again = stack.pulse("down")
    assert again.returncode == 0
    assert "nothing was running" in again.stderr
