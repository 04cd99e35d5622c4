"""The compose target on a real engine: `make test-compose` makes the images and runs these."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import httpx
import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.stack.secrets import owned
from pulse_cli.targets.compose.engine import connect
from pulse_cli.targets.compose.processes import in_containers
from pulse_cli.targets.compose.project import project_name
from tests.compose.conftest import status, wait_until
from tests.conftest import RunningStack

pytestmark = pytest.mark.timeout(900)


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
    assert checks["images"]["detail"] == "8 of 8 are here"
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


def test_the_project_runs_by_hand_as_its_first_lines_say(stack: RunningStack) -> None:
    before = {name: one["pid"] for name, one in status(stack).items()}
    file = stack.state / "compose" / "compose.yaml"
    (line,) = [line for line in file.read_text().splitlines() if line.endswith("up --detach")]
    command = line.removeprefix("#").split()
    subprocess.run(command, cwd=stack.project_dir, capture_output=True, text=True, check=True)
    assert {name: one["pid"] for name, one in status(stack).items()} == before


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
    shown = stack.pulse("logs", "rabbitmq", "postgres", "-n", "1")
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["rabbitmq", "postgres"]


def test_the_gateway_keeps_its_policies(stack: RunningStack) -> None:
    verified = stack.pulse("verify", "gateway")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_load_is_measured_with_what_containers_take(report: dict[str, Any]) -> None:
    cpu = report["environment"]["cpu_us_per_request"]
    assert {"users", "posts", "social", "postgres", "gateway"} <= cpu.keys()


def test_scaling_is_followed_by_the_gateway(stack: RunningStack) -> None:
    before = {name: one["pid"] for name, one in status(stack).items()}
    scaled = stack.pulse("scale", "posts=2")
    assert scaled.returncode == 0, scaled.stderr
    admin = f"http://127.0.0.1:{stack.stack.gateway.admin_port}"
    compose, services = stack.stack.compose, SERVICE_NAMES.index("posts")
    added = f"posts::{compose.instance_address(services, 1)}:"
    assert added in httpx.get(f"{admin}/clusters").text
    assert before.items() <= {n: one["pid"] for n, one in status(stack).items()}.items()
    back = stack.pulse("scale", "posts=1")
    assert back.returncode == 0, back.stderr
    assert added not in httpx.get(f"{admin}/clusters").text
    assert {name: one["pid"] for name, one in status(stack).items()} == before


def test_a_killed_process_comes_back(stack: RunningStack) -> None:
    pid = status(stack)["users-0"]["pid"]
    assert pid in {process.pid for process in in_containers(stack.state)}
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status(stack)["users-0"]["pid"] not in {None, pid})
    assert status(stack)["users-0"]["restarts"] == 1
    health = stack.pulse("health", "--wait", "60")
    assert health.returncode == 0, health.stderr
