"""The report as a page to look at: one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulse_cli.bench.judge import Check
from pulse_cli.bench.report import Report, Spread
from pulse_cli.bench.table import amount, asked, ms, seen
from pulse_cli.files import write_public
from pulse_cli.render.jinja import fill

WIDTH, HEIGHT = 900, 220
"""Of the chart, in its own units."""

MOST_TICKS = 5
PAST_TARGET = 1.25
"""How far a gauge goes on beyond its target, as a share of it."""


@dataclass(frozen=True)
class Gauge:
    """A check as a bar; places are percents of its length."""

    check: Check
    target: str
    value: str
    interval: str
    limit: float
    filled: float
    low: float
    high: float


@dataclass(frozen=True)
class Chart:
    """Response times over the window; places are in the chart's units."""

    p50: str
    p95: str
    ticks: Sequence[tuple[float, str]]
    """Places of horizontal lines, and the milliseconds they stand for."""
    seconds: Sequence[tuple[float, str]]
    failed: Sequence[tuple[float, int]]
    limit: float | None
    """Where the target is, when it is in the picture."""


def write_page(report: Report, file: Path) -> None:
    """Write a report as a page, whole or not at all. Raises `OSError`."""
    write_public(file, page(report))


def page(report: Report) -> str:
    """Return a report as a page."""
    client = [("all", report.client), ("all, from the intended start", report.client.corrected)]
    times = [*((one.name, one) for one in report.endpoints), *client]
    used = sorted(report.environment.cpu_us_per_request.items(), key=lambda item: -item[1])
    return fill(
        "report/bench.html.j2",
        report=report,
        asked=asked(report),
        gauges=[_gauge(check) for check in report.checks],
        chart=_chart(report),
        width=WIDTH,
        height=HEIGHT,
        times=_ranges(times),
        cpu=[(name, us, _share(us, used[0][1])) for name, us in used if us >= 1],
        ms=ms,
    )


def _gauge(check: Check) -> Gauge:
    value, interval = seen(check)
    low, high = check.interval or (check.value or 0.0, check.value or 0.0)
    end = max(check.target * PAST_TARGET, high, check.value or 0.0)
    return Gauge(
        check=check,
        target=f"< {amount(check, check.target)}",
        value=value,
        interval=interval,
        limit=_share(check.target, end),
        filled=_share(check.value or 0.0, end),
        low=_share(low, end),
        high=_share(high, end),
    )


def _chart(report: Report) -> Chart | None:
    """Draw the window second by second; there is nothing to draw of less than two."""
    seconds = report.seconds
    if len(seconds) < 2:
        return None
    first, last = seconds[0].at_s, seconds[-1].at_s
    step = _step(max(one.p95_ms for one in seconds))
    top = step * (int(max(one.p95_ms for one in seconds) / step) + 1)
    target = next((c.target for c in report.checks if c.name == "client_p95"), None)

    def x(at: float) -> float:
        return round((at - first) / (last - first) * WIDTH, 1)

    def y(value: float) -> float:
        return round(HEIGHT - value / top * HEIGHT, 1)

    def line(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x(at)},{y(value)}" for at, value in points)

    apart = _step(last - first)
    marks = range(int(first), int(last) + 1)
    return Chart(
        p50=line((one.at_s, one.p50_ms) for one in seconds),
        p95=line((one.at_s, one.p95_ms) for one in seconds),
        ticks=[(y(i * step), f"{i * step:g}") for i in range(round(top / step) + 1)],
        seconds=[(x(at), f"{at} s") for at in marks if at % max(1, round(apart)) == 0],
        failed=[(x(one.at_s), one.errors) for one in seconds if one.errors],
        limit=y(target) if target is not None and target <= top else None,
    )


def _step(most: float) -> float:
    """Return the round number (1, 2 or 5 times a power of ten) that divides a scale well."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if most / (step * factor) <= MOST_TICKS:
                return step * factor
        step *= 10


def _ranges(times: Sequence[tuple[str, Spread]]) -> list[tuple[str, Spread, float, float, float]]:
    """Return each distribution with the places of its p50, p95 and p99 on a common scale."""
    end = max(one.p99_ms for _, one in times)
    return [
        (name, one, _share(one.p50_ms, end), _share(one.p95_ms, end), _share(one.p99_ms, end))
        for name, one in times
    ]


def _share(value: float, end: float) -> float:
    """Return a value as a percentage of a scale that ends at `end`."""
    return round(100 * min(1.0, value / end), 2) if end else 0.0
