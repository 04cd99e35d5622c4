"""`pulse verify scaling` and `pulse verify failover` on a running stack."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import RunningStack

BRIEFLY = ("--seconds", "3", "--rate", "60", "--json")


def verified(stack: RunningStack, *arguments: str) -> dict[str, Any]:
    done = stack.pulse("verify", *arguments, *BRIEFLY)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 3)
    return found


def test_instances_share_the_work_and_no_request_fails(stack: RunningStack) -> None:
    found = verified(stack, "scaling", "--service", "posts", "--replicas", "2")
    assert found["passed"], found
    assert set(found["shares"]) == {"posts-0", "posts-1"}
    components = json.loads(stack.pulse("status", "--json").stdout)["components"]
    assert "posts-1" not in {one["name"] for one in components}


def test_a_killed_instance_comes_back_and_the_others_serve_meanwhile(stack: RunningStack) -> None:
    found = verified(stack, "failover", "--service", "posts")
    assert {"instance_back"} <= {check["name"] for check in found["checks"] if check["passed"]}
    # A request that was in flight may fail, so whether the promise is kept is for a quiet machine.
    without = found["stretches"]["without"]
    assert without["requests"] > 100
    assert without["failed"] < 0.02 * without["requests"], found


def test_a_service_that_does_not_exist_is_named(stack: RunningStack) -> None:
    refused = stack.pulse("verify", "failover", "--service", "feed")
    assert refused.returncode == 2
    assert refused.stderr.startswith("pulse: there is no service 'feed'; there are users,")
