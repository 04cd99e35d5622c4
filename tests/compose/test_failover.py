"""Instances of containers that share the work, and one that dies, under load."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.compose.conftest import status
from tests.conftest import RunningStack

pytestmark = pytest.mark.timeout(900)

BRIEFLY = ("--seconds", "3", "--rate", "40", "--json")


def verified(stack: RunningStack, *arguments: str) -> dict[str, Any]:
    done = stack.pulse("verify", *arguments, *BRIEFLY)
    # Whether promises are kept is for a quiet machine: where much else runs, requests time out.
    assert done.returncode in {0, 3}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def lost(found: dict[str, Any]) -> float:
    """The share of requests for which the gateway found nobody, or whom an instance left."""
    lost: int = sum(n for reason, n in found["failures"].items() if "gateway_unavailable" in reason)
    asked: int = sum(stretch["requests"] for stretch in found["stretches"].values())
    return lost / asked


@pytest.mark.usefixtures("report")
def test_a_killed_instance_comes_back_and_the_other_serves_meanwhile(stack: RunningStack) -> None:
    found = verified(stack, "failover")
    assert "instance_back" in {check["name"] for check in found["checks"] if check["passed"]}
    assert lost(found) < 0.02, found
    assert "posts-1" not in status(stack)


@pytest.mark.usefixtures("report")
def test_instances_share_the_work(stack: RunningStack) -> None:
    found = verified(stack, "scaling", "--replicas", "2")
    assert found["shares"].keys() == {"posts-0", "posts-1"}
    assert lost(found) < 0.02, found
