"""What watches the stack: the profile `observability` of the compose project."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from tests.compose.conftest import wait_until
from tests.conftest import RunningStack

pytestmark = pytest.mark.timeout(900)

EMPTY_WHEN_ALL_IS_WELL = {"Errors", "Done without what it needs"}
"""Panels of the dashboard that show nothing as long as nothing fails."""


def asked(stack: RunningStack, path: str, **parameters: str) -> Any:
    """Ask Prometheus; what it cannot answer is an error."""
    url = f"http://127.0.0.1:{stack.stack.compose.prometheus_port}/api/v1/{path}"
    answer = httpx.get(url, params=parameters, timeout=30).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def test_prometheus_reaches_every_instance_and_the_gateway(stack: RunningStack) -> None:
    wanted = {f"{name}-0" for name in SERVICE_NAMES} | {"gateway"}

    def up() -> set[str]:
        targets = asked(stack, "targets")["activeTargets"]
        return {one["labels"]["instance"] for one in targets if one["health"] == "up"}

    wait_until(lambda: up() == wanted)


@pytest.mark.usefixtures("report")
def test_every_query_of_the_dashboard_is_answered(stack: RunningStack) -> None:
    dashboards = stack.state / "compose" / "grafana" / "dashboards"
    queries = [
        (panel["title"], target["expr"])
        for file in dashboards.glob("*.json")
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) >= 14

    def silent() -> set[str]:
        results = {title: asked(stack, "query", query=expr)["result"] for title, expr in queries}
        return {title for title, result in results.items() if not result}

    wait_until(lambda: silent() <= EMPTY_WHEN_ALL_IS_WELL)


@pytest.mark.usefixtures("report")
def test_traces_are_sent_to_the_collector(stack: RunningStack) -> None:
    port = stack.stack.compose.jaeger_port

    def received() -> int:
        return int(httpx.get(f"http://127.0.0.1:{port}").json().get("application/x-protobuf", 0))

    wait_until(lambda: received() > 0)
