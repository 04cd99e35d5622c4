"""What a verification makes of what it saw."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from pulse_cli.bench.drive import Processes
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.context import Root
from pulse_cli.errors import CheckFailed, ConfigError
from pulse_cli.files import private_folder, write_private
from pulse_cli.stack.model import Stack
from pulse_cli.verify import failover, load, scaling
from pulse_cli.verify.load import Load, Stretch


def stretch(requests: int = 1000, failed: int = 0, last_failure: float | None = None) -> Stretch:
    return Stretch(10.0, requests, failed, 5.0, 10.0, last_failure)


def scaled(*served: int, failed: int = 0) -> scaling.Found:
    instances = {f"posts-{i}": count for i, count in enumerate(served)}
    calm = stretch()
    return scaling.Found(calm, stretch(failed=failed), calm, calm, calm, instances, {}, "here")


@pytest.mark.parametrize(
    ("served", "passed"),
    [((100, 100, 100), True), ((100, 109, 91), True), ((100, 115, 85), False), ((0, 0, 0), False)],
)
def test_shares_may_be_a_tenth_from_even(served: tuple[int, ...], passed: bool) -> None:
    assert scaling.report("posts", 3, scaled(*served)).passed is passed


def test_one_failed_request_fails_the_scaling() -> None:
    report = scaling.report("posts", 3, scaled(100, 100, 100, failed=1))
    assert [check.name for check in report.checks if not check.passed] == ["errors"]
    with pytest.raises(CheckFailed, match="failed 1 of 4 checks: errors"):
        raise report.failure() or AssertionError


@pytest.mark.parametrize(
    ("without", "back", "broken"),
    [
        (stretch(), 2.0, set()),
        (stretch(2000, 1, 0.1), 2.0, set()),
        (stretch(1000, 1, 0.1), 2.0, {"failed_requests"}),
        (stretch(10_000, 1, 6.0), 2.0, {"service_restored"}),
        (stretch(), None, {"instance_back"}),
    ],
)
def test_failover_is_judged_by_failures_their_end_and_the_return(
    without: Stretch, back: float | None, broken: set[str]
) -> None:
    report = failover.report("posts", failover.Found(stretch(), without, back, {}, "here"))
    assert {check.name for check in report.checks if not check.passed} == broken


def test_what_failed_before_the_kill_is_told_beside_it() -> None:
    found = failover.Found(stretch(failed=3), stretch(failed=5), 2.0, {}, "by pods")
    notes = failover.report("posts", found).as_dict()["notes"]
    assert notes[0] == "by pods"
    assert notes[1].startswith("3 of 1000 requests failed before anything was killed")


def test_what_scales_by_itself_is_not_scaled_to_prove_it(tmp_path: Path) -> None:
    stack = Stack.model_validate(
        {"target": "kubernetes", "kubernetes": {"overlay": "aws", "context": "c"}}
    )
    for name in ("stack.json", "kubernetes.json"):
        write_private(private_folder(tmp_path / ".pulse" / "run") / name, stack.model_dump_json())
    with pytest.raises(ConfigError, match="in overlay aws posts scales by itself"):
        scaling.verify_scaling(Root(tmp_path), "posts", 3, 1.0, 1.0)


def test_what_is_never_answered_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "GRACE_SECONDS", 0.0)
    plan = Plan(
        scenario="scenarios.mixed",
        host="127.0.0.1",
        port=1,
        users=10,
        rate=10,
        ramp=0,
        warmup=0,
        duration=60,
        timeout=0.01,
        seed=1,
        run="test",
        people=[],
        password=SecretStr("password"),
        identities=[Identity(id=UUID(int=1), username="ada", token=SecretStr("t"))],
    )
    drive, origin = Processes([plan]), time.monotonic() - 10
    for second in (1, 2):  # of ten requests a second, nine are answered
        for user in range(9):
            due = origin + second + user / 10
            drive.samples.add(0, intended=due, sent=due, latency=0.005, late=0.0, ok=True)
    seen = Load(drive, Timeline(origin, 0, 0, 60)).stretch(origin + 1, origin + 3)
    assert (seen.requests, seen.failed) == (20, 2)
