from __future__ import annotations

from dataclasses import replace

import pytest

from pulse_cli.bench.judge import (
    Check,
    Instrument,
    Verdict,
    conclude,
    judge_errors,
    judge_interval,
    judge_value,
)
from pulse_cli.bench.statistics import Interval

GOOD = Instrument(
    budget_p95=200,
    floor_p95=1,
    late_p95=1,
    cpu_shares=[0.2],
    cpu_warning=False,
    intended=30_000,
    answered=30_000,
)


def check(verdict: Verdict) -> Check:
    reason = None if verdict == "pass" else f"it is {verdict}"
    return Check(name="c", target=1, value=1, unit="ms", verdict=verdict, reason=reason)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(100, 199.9), "pass"),
        (Interval(200, 300), "fail"),
        (Interval(150, 250), "inconclusive"),
        (None, "inconclusive"),
    ],
)
def test_a_check_needs_its_whole_interval_on_one_side(
    interval: Interval | None, verdict: Verdict
) -> None:
    assert judge_interval("client_p95", 200, 180, interval).verdict == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(49.9, "pass"), (50.0, "fail"), (None, "inconclusive")]
)
def test_a_value_must_be_below_its_target(value: float | None, verdict: Verdict) -> None:
    assert judge_value("service_p95.posts", 50, value).verdict == verdict


@pytest.mark.parametrize(
    ("errors", "requests", "verdict"),
    [
        (0, 0, "inconclusive"),
        (0, 2_994, "inconclusive"),
        (0, 2_995, "pass"),
        (4, 10_000, "pass"),
        (5, 10_000, "inconclusive"),
        (10, 10_000, "inconclusive"),
        (30, 10_000, "fail"),
        (1, 1, "fail"),
    ],
)
def test_the_error_rate_must_be_shown_not_hoped(
    errors: int, requests: int, verdict: Verdict
) -> None:
    assert judge_errors(0.001, errors, requests).verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "fail"], "fail"),
        (["pass", "inconclusive"], "inconclusive"),
        (["fail", "inconclusive"], "fail"),
    ],
)
def test_the_run_is_as_good_as_its_worst_check(verdicts: list[Verdict], expected: Verdict) -> None:
    verdict, reasons = conclude([check(v) for v in verdicts], GOOD)
    assert verdict == expected
    assert bool(reasons) == (expected != "pass")


@pytest.mark.parametrize(
    ("instrument", "said"),
    [
        (replace(GOOD, floor_p95=51), "generator alone"),
        (replace(GOOD, late_p95=51), "sent late"),
        (replace(GOOD, cpu_shares=[0.3, 0.95]), "saturated (95 %"),
        (replace(GOOD, cpu_warning=True), "saturated"),
        (replace(GOOD, disturbances=["posts-0 was restarted"]), "posts-0 was restarted"),
    ],
)
@pytest.mark.parametrize("measured", ["pass", "fail"])
def test_an_instrument_that_cannot_be_trusted_settles_nothing(
    instrument: Instrument, said: str, measured: Verdict
) -> None:
    verdict, reasons = conclude([check(measured)], instrument)
    assert verdict == "inconclusive"
    assert said.replace(" %", "%") in reasons[0]


@pytest.mark.parametrize(("measured", "expected"), [("pass", "inconclusive"), ("fail", "fail")])
def test_too_little_load_takes_away_a_pass_but_no_failure(
    measured: Verdict, expected: Verdict
) -> None:
    short = replace(GOOD, answered=28_000)
    verdict, reasons = conclude([check(measured)], short)
    assert verdict == expected
    assert "only 28000 of 30000" in reasons[0]


@pytest.mark.parametrize(("measured", "expected"), [("pass", "pass"), ("fail", "inconclusive")])
def test_a_busy_machine_excuses_a_failure_and_leaves_a_pass(
    measured: Verdict, expected: Verdict
) -> None:
    busy = replace(GOOD, others_share=0.4)
    verdict, reasons = conclude([check(measured)], busy)
    assert verdict == expected
    assert any("other programs used 40%" in reason for reason in reasons) == (measured == "fail")
