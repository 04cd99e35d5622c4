"""The compose project and the services' image: what compose's own schema and our rules say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulse_cli.errors import ConfigError
from pulse_cli.render import compose, docker
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import CALLS, SERVICE_NAMES, Stack
from pulse_cli.stack.secrets import owned

GOLDEN = Path(__file__).parents[1] / "golden" / "compose"
VARIANTS: dict[str, dict[str, object]] = {
    "kong": {"target": "compose"},
    "envoy": {
        "target": "compose",
        "gateway.kind": "envoy",
        "services.posts.replicas": 3,
        "compose.build": False,
        "compose.observability": True,
        "compose.subnet": "172.30.0.0/22",
        "images.services": "registry.example.org:5000/pulse/services:1.2",
        "gateway.host": "0.0.0.0",
    },
}


def configured(**settings: object) -> Stack:
    return load_stack(Path("/nowhere"), settings, {})


@cache
def rendered(variant: str) -> dict[str, str]:
    return compose.files(configured(**VARIANTS[variant]))


def project(variant: str) -> dict[str, Any]:
    loaded = yaml.safe_load(rendered(variant)["compose.yaml"])
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_project_is_the_golden_one(variant: str) -> None:
    """Run with PULSE_TEST_GOLDEN=write after a change that is meant, and read what differs."""
    file = GOLDEN / f"{variant}.yaml"
    text = rendered(variant)["compose.yaml"]
    if os.environ.get("PULSE_TEST_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_the_project_keeps_to_composes_schema(tmp_path: Path) -> None:
    files = []
    for variant in VARIANTS:
        files.append(tmp_path / f"{variant}.yaml")
        files[-1].write_text(rendered(variant)["compose.yaml"])
    schema = ("--builtin-schema", "vendor.compose-spec")
    command = (sys.executable, "-m", "check_jsonschema", *schema, *map(str, files))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_docker_compose_understands_the_project(variant: str, tmp_path: Path) -> None:
    shown = shutil.which("docker") and subprocess.run(
        ("docker", "compose", "version"), capture_output=True, check=False
    )
    if not shown or shown.returncode != 0:
        pytest.skip("there is no docker compose here")
    for path, text in rendered(variant).items():
        file = tmp_path / "compose" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    place = ("--project-directory", str(tmp_path), "-f", str(tmp_path / "compose/compose.yaml"))
    command = ("docker", "compose", *place, "--profile", "*", "config", "--format", "json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == project(variant)["services"].keys()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_container_may_more_than_it_must(variant: str) -> None:
    for name, service in project(variant)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == "${PULSE_USER:-10001:10001}", name
        assert not {"privileged", "cap_add", "ulimits"} & service.keys(), name
        assert "start_interval" not in service.get("healthcheck", {}), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        if name not in {"migrate", "openapi"}:
            assert service["restart"] == "unless-stopped", name
            assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_has_its_own_secrets_as_files(variant: str) -> None:
    whole = project(variant)
    for name in SERVICE_NAMES:
        service = whole["services"][f"{name}-0"]
        assert [one["target"] for one in service["secrets"]] == list(owned(name))
        for one in service["secrets"]:
            file = whole["secrets"][one["source"]]["file"]
            assert file == f"./secrets/{name}/{one['target']}"
        assert not [key for key in service["environment"] if "PASSWORD" in key or "KEY" in key]
    assert "secrets/operator" not in rendered(variant)["compose.yaml"]


def test_instances_have_addresses_that_nobody_else_has() -> None:
    stack = configured(**{f"services.{name}.replicas": 16 for name in SERVICE_NAMES})
    services = yaml.safe_load(compose.files(stack)["compose.yaml"])["services"]
    fixed = [
        ip_address(service["networks"]["default"]["ipv4_address"])
        for service in services.values()
        if "networks" in service
    ]
    assert len(set(fixed)) == len(fixed) == 16 * len(SERVICE_NAMES) + 3
    assert all(one in stack.compose.subnet for one in fixed)
    assert not [one for one in fixed if one in stack.compose.unassigned]


def test_services_find_each_other_and_their_stores_by_name() -> None:
    services = project("envoy")["services"]
    peers = json.loads(rendered("envoy")["peers/peers.json"])
    assert peers["posts"] == [f"http://posts-{i}:{8082 + 100 * i}" for i in range(3)]
    assert {callee for callees in CALLS.values() for callee in callees} <= peers.keys()
    environment = services["posts-2"]["environment"]
    assert environment["SERVICE_PORT"] == "8282"
    for store, port in (("DATABASE", "5432"), ("REDIS", "6379"), ("RABBITMQ", "5672")):
        assert environment[f"SERVICE_{store}_HOST"] in services
        assert environment[f"SERVICE_{store}_PORT"] == port
    assert environment["SERVICE_OTLP_ENDPOINT"] == "http://jaeger:4318"
    assert "SERVICE_OTLP_ENDPOINT" not in project("kong")["services"]["posts-0"]["environment"]


def test_a_dollar_is_no_variable_of_composes() -> None:
    text = compose.files(configured(**{"tokens.issuer": "a$b${c}"}))["compose.yaml"]
    assert 'SERVICE_TOKEN_ISSUER: "a$$b$${c}"' in text


def test_dashboards_name_metrics_that_services_have() -> None:
    dashboard = json.loads(rendered("kong")["grafana/dashboards/platform.json"])
    source = (Path(docker.__file__).parents[2] / "services" / "kit" / "observe.py").read_text()
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for query in queries:
        names = [word for word in query.replace("(", " ").replace("[", " ").split() if "_" in word]
        for name in (one.split("{")[0].split(")")[0] for one in names):
            if name.startswith(("process_", "histogram_")):
                continue
            base = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            assert f'"{base.removesuffix("_total")}"' in source, name


def test_the_image_is_built_from_pinned_packages_and_the_services_alone() -> None:
    files = docker.files(configured())
    wanted = files["requirements.txt"].splitlines()
    assert any(line.startswith("aiopg") for line in wanted)
    assert not [line for line in wanted if line.startswith(("locust", "typer", "pytest", "docker"))]
    assert not [line for line in wanted if "extra" in line]
    assert "aiopg==" in files["constraints.txt"]
    assert "app/services/posts/migrations/0001_posts.sql" in files
    assert not [path for path in files if path.startswith(("app/pulse_cli", "app/tests"))]
    dockerfile = files["Dockerfile"]
    assert dockerfile.startswith("# Rendered by Pulse")
    assert not [line for line in dockerfile.splitlines() if line.startswith("# syntax")]
    assert "--mount" not in dockerfile
    assert "--no-index" not in dockerfile
    offline = docker.files(configured(**{"compose.wheels": "wheels", "images.base": "mine:1"}))
    assert "--no-index --find-links /build/wheels" in offline["Dockerfile"]
    assert "ARG BASE=mine:1\n" in offline["Dockerfile"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("compose.subnet", "10.0.0.0/25", "must hold at least 256 addresses"),
        ("compose.subnet", "fd00::/64", "must be an IPv4 network such as 10.213.0.0/24"),
        ("images.redis", "Redis 7", "should match pattern"),
        ("compose.limits.service.memory_mb", "1", "greater than or equal to 64"),
        ("gateway.kind", "nginx", "'kong' or 'envoy'"),
    ],
)
def test_what_no_container_could_be_made_from_is_refused(key: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(**{key: value})
    assert key in str(refused.value)
    assert said in str(refused.value)
