"""`pulse verify scaling` and `pulse verify failover` on a running stack."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import RunningStack

BRIEFLY = ("--seconds", "3", "--rate", "60", "--json")
FEW = 0.05
"""Of the requests: a busy machine may answer so many too late. Whether the promise is kept, that
none fails, is for a quiet one; how a verification judges it is tested without a stack."""


def verified(stack: RunningStack, *arguments: str) -> dict[str, Any]:
    done = stack.pulse("verify", *arguments, *BRIEFLY)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 3)
    return found


def test_instances_share_the_work_and_requests_go_on(stack: RunningStack) -> None:
    found = verified(stack, "scaling", "--service", "posts", "--replicas", "2")
    assert set(found["shares"]) == {"posts-0", "posts-1"}
    assert min(found["shares"].values()) > 0.25
    for stretch in found["stretches"].values():
        assert stretch["failed"] <= FEW * stretch["requests"], found
    components = json.loads(stack.pulse("status", "--json").stdout)["components"]
    assert "posts-1" not in {one["name"] for one in components}


def test_a_killed_instance_comes_back_and_the_others_serve_meanwhile(stack: RunningStack) -> None:
    found = verified(stack, "failover", "--service", "posts")
    assert {"instance_back"} <= {check["name"] for check in found["checks"] if check["passed"]}
    without = found["stretches"]["without"]
    assert without["requests"] > 0
    assert without["failed"] <= FEW * without["requests"], found


def test_a_service_that_does_not_exist_is_named(stack: RunningStack) -> None:
    refused = stack.pulse("verify", "failover", "--service", "feed")
    assert refused.returncode == 2
    assert refused.stderr.startswith("pulse: there is no service 'feed'; there are users,")
