"""From measurements and targets to a verdict.

A check passes or fails only when its interval lies wholly on one side of its target. Reasons not to
trust the instrument make the whole run inconclusive, whatever was measured. Falling short of the
intended rate does so only where nothing failed: a platform too slow to take the load has failed.
Other programs on the machine can only make things slower, so they excuse a failure and leave a
pass alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from pulse_cli.bench.statistics import (
    CONFIDENCE,
    Interval,
    at_most,
    rate_lower_bound,
    rate_upper_bound,
)
from pulse_cli.errors import CheckFailed, Inconclusive, PulseError

Verdict = Literal["pass", "fail", "inconclusive"]

FLOOR_SHARE = 0.25
"""Of the budget of the client's p95: more, taken by the instrument itself, spoils the run."""

CPU_LIMIT = 0.90
"""Of a core: where Locust calls a generator overloaded."""

RATE_SHARE = 0.95
"""Of the intended rate: less is another load than the one asked for."""

OTHERS_LIMIT = 0.15
"""Of the whole machine's CPU time, used by neither stack nor bench."""

MIN_REQUESTS = 59
"""The least number of requests whose slowest bounds the p95 at 95 % confidence (0.95^59 < 0.05)."""


class Check(BaseModel):
    """One target held against one measurement."""

    name: str
    target: float
    """The value must stay below it."""
    value: float | None
    """None when nothing was measured."""
    unit: Literal["ms", "share"]
    interval: tuple[float, float] | None = None
    """95 % confidence, where one can be told."""
    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True)
class Instrument:
    """What says whether the bench itself can be trusted; times in ms."""

    budget_p95: float
    floor_p95: float | None
    late_p95: float
    cpu_shares: Sequence[float]
    cpu_warning: bool
    intended: int
    """Requests in the window."""
    answered: int
    others_share: float | None = None
    """Of the machine's CPU time, used by neither stack nor bench (0 to 1); None in a cluster."""
    disturbances: Sequence[str] = field(default_factory=tuple)
    """Restarts, and errors of the scenario itself."""

    def distrust(self) -> list[str]:
        """Return the reasons why no number of this run can be trusted."""
        reasons = list(self.disturbances)
        allowed = FLOOR_SHARE * self.budget_p95
        if self.floor_p95 is not None and self.floor_p95 > allowed:
            reasons.append(
                f"the generator alone has a p95 of {self.floor_p95:.0f} ms, more than"
                f" {FLOOR_SHARE:.0%} of the budget of {self.budget_p95:.0f} ms"
            )
        if self.late_p95 > allowed:
            reasons.append(
                f"the generator sent late (p95 {self.late_p95:.0f} ms): it was short of CPU time"
            )
        busiest = max(self.cpu_shares, default=0.0)
        if busiest > CPU_LIMIT or self.cpu_warning:
            reasons.append(
                f"a generator was saturated ({busiest:.0%} of a core): use more --processes or a"
                " lower --rate"
            )
        return reasons

    def interference(self) -> str | None:
        """Return a sentence when something else kept the machine busy."""
        if self.others_share is None or self.others_share <= OTHERS_LIMIT:
            return None
        return (
            f"other programs used {self.others_share:.0%} of this machine's CPU time during the"
            " run: measure again when it is quiet"
        )

    def shortfall(self) -> str | None:
        """Return a sentence when the load was less than intended."""
        if self.answered >= RATE_SHARE * self.intended:
            return None
        return (
            f"only {self.answered} of {self.intended} intended requests were made"
            f" (at least {RATE_SHARE:.0%} are needed)"
        )


def judge_interval(name: str, target: float, value: float, interval: Interval | None) -> Check:
    """Judge a time in ms by its confidence interval."""
    verdict: Verdict = "inconclusive"
    reason = None
    if interval is None:
        reason = f"{name}: too few samples for a confidence interval; measure longer"
    elif interval.high < target:
        verdict = "pass"
    elif interval.low >= target:
        verdict = "fail"
    else:
        reason = (
            f"{name}: {value:.1f} ms, but its interval {interval.low:.1f} to {interval.high:.1f} ms"
            f" holds the target of {target:g} ms; measure longer"
        )
    bounds = (interval.low, interval.high) if interval else None
    return Check(
        name=name,
        target=target,
        value=value,
        unit="ms",
        interval=bounds,
        verdict=verdict,
        reason=reason or _missed(verdict, f"{name}: {value:.1f} ms, target below {target:g} ms"),
    )


def judge_value(name: str, target: float, value: float | None) -> Check:
    """Judge a time in ms that is known as exactly as it can be."""
    if value is None:
        return Check(
            name=name,
            target=target,
            value=None,
            unit="ms",
            verdict="inconclusive",
            reason=f"{name}: nothing was measured",
        )
    verdict: Verdict = "pass" if value < target else "fail"
    missed = _missed(verdict, f"{name}: {value:.1f} ms, target below {target:g} ms")
    return Check(name=name, target=target, value=value, unit="ms", verdict=verdict, reason=missed)


def judge_errors(target: float, errors: int, requests: int) -> Check:
    """Judge the error rate: it must be shown, at 95 % confidence, to be within its target.

    2,995 requests without an error show 0.1 %; 10,000 allow 4 errors, 100,000 allow 83.
    """
    low, high = rate_lower_bound(errors, requests), rate_upper_bound(errors, requests)
    value = errors / requests if requests else 0.0
    verdict: Verdict = "inconclusive"
    said = f"error_rate: {errors} of {requests} requests failed ({value:.3%})"
    reason: str | None = (
        f"{said}, which does not show that it is below {target:.2%}; measure longer"
    )
    if requests and at_most(errors, requests, target) <= 1 - CONFIDENCE:
        verdict, reason = "pass", None
    elif low > target:
        verdict, reason = "fail", f"{said}, target below {target:.2%}"
    return Check(
        name="error_rate",
        target=target,
        value=value,
        unit="share",
        interval=(low, high),
        verdict=verdict,
        reason=reason,
    )


def _missed(verdict: Verdict, sentence: str) -> str | None:
    return sentence if verdict == "fail" else None


def conclude(checks: Sequence[Check], instrument: Instrument) -> tuple[Verdict, list[str]]:
    """Return the verdict of the run and the reasons for anything but a pass."""
    distrust = instrument.distrust()
    shortfall = instrument.shortfall()
    interference = instrument.interference()
    missed = [check.reason for check in checks if check.reason]
    reasons = [*distrust, *filter(None, [shortfall]), *missed]
    if reasons and interference:
        reasons.insert(0, interference)
    if distrust:
        return "inconclusive", reasons
    if any(check.verdict == "fail" for check in checks):
        return ("inconclusive" if interference else "fail"), reasons
    if shortfall or any(check.verdict == "inconclusive" for check in checks):
        return "inconclusive", reasons
    return "pass", reasons


def failure(verdict: Verdict, checks: Sequence[Check], reasons: Sequence[str]) -> PulseError | None:
    """Return how a command ends that came to this verdict; None for a pass."""
    if verdict == "fail":
        missed = [check.name for check in checks if check.verdict == "fail"]
        return CheckFailed(f"missed {len(missed)} of {len(checks)} targets: {', '.join(missed)}")
    if verdict == "inconclusive":
        return Inconclusive(f"inconclusive: {reasons[0]}")
    return None
