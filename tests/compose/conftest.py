"""The stack of containers that these tests share, from the images that `run.sh` makes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import RunningStack, pulse

UP_SECONDS = 600

SETTINGS = """
target = "compose"

[gateway]
kind = "envoy"
requests_per_second = 1000  # all tests are one client

[compose]
wheels = "{wheels}"
observability = true

[images]
base = "{registry}/base:{suite}"
services = "{registry}/services:{suite}"
postgres = "{registry}/postgres:{suite}"
redis = "{registry}/redis:{suite}"
rabbitmq = "{registry}/rabbitmq:{suite}"
envoy = "{registry}/envoy:{suite}"
prometheus = "{registry}/prometheus:{suite}"
grafana = "{registry}/standin:{suite}"
jaeger = "{registry}/standin:{suite}"
"""


@pytest.fixture(scope="session")
def settings() -> str:
    """A `pulse.toml` with images that are on this machine."""
    if "COMPOSE_TEST_REGISTRY" not in os.environ:
        pytest.skip("only with the images of make test-compose")
    given = {name: os.environ[f"COMPOSE_TEST_{name}"] for name in ("REGISTRY", "SUITE", "WHEELS")}
    return SETTINGS.format(**{name.lower(): value for name, value in given.items()})


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, settings: str) -> Iterator[RunningStack]:
    """A stack of containers in a folder of its own."""
    project = tmp_path_factory.mktemp("compose")
    (project / "pulse.toml").write_text(settings)
    try:
        up = pulse(project, "up", "--isolated", "--json", timeout=UP_SECONDS)
        assert up.returncode == 0, up.stderr
        yield RunningStack(project, json.loads(up.stdout)["gateway_url"])
    finally:
        pulse(project, "down")


@pytest.fixture(scope="session")
def report(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a short bench, with people who are seeded before."""
    seeded = stack.pulse("seed", "--users", "50", "--posts-per-user", "2")
    assert seeded.returncode == 0, seeded.stderr
    file = tmp_path_factory.mktemp("bench") / "report.json"
    options = ("--users", "20", "--rate", "40", "--ramp", "1", "--duration", "5")
    bench = stack.pulse("bench", "mixed", *options, "--json", str(file))
    # How fast it was says nothing on a machine that does much else.
    assert bench.returncode in {0, 3, 4}, bench.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def status(stack: RunningStack) -> dict[str, dict[str, Any]]:
    """What `pulse status` says of each component, by name."""
    shown = stack.pulse("status", "--json")
    assert shown.returncode == 0, shown.stderr
    return {one["name"]: one for one in json.loads(shown.stdout)["components"]}


def wait_until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for a condition; the seconds are a bound against hanging."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)
