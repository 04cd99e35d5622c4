"""The report as people read it: what was asked, what was seen, what it means."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulse_cli.bench.judge import Check
from pulse_cli.bench.report import Report, Spread

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
MOST_FAILURES = 5


def render(report: Report) -> RenderableType:
    """Lay out a report for a terminal or a log."""
    parts: list[RenderableType] = [asked(report), "", _latencies(report), "", _services(report), ""]
    parts += [_shares(report), ""]
    if report.client.failures:
        parts += [_failures(report), ""]
    parts += [_checks(report), "", _verdict(report)]
    return Group(*parts)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def asked(report: Report) -> str:
    """Say which load was asked for."""
    load = report.load
    return (
        f"{report.scenario}: {load.users} users ({load.accounts} accounts,"
        f" {load.source_addresses} addresses), each every {load.period_s:.3g} s ="
        f" {load.intended_rate:g} requests/s for {load.duration_s:g} s,"
        f" after {load.ramp_s:g} s of ramp and {load.warmup_s:.3g} s of warm-up"
    )


def _spread(spread: Spread) -> list[str]:
    values = (spread.mean_ms, spread.p50_ms, spread.p95_ms, spread.p99_ms, spread.max_ms)
    return [ms(value) for value in values]


def _latencies(report: Report) -> Table:
    table = _table("ms", "requests", "per s", "errors", "mean", "p50", "p95", "p99", "max")
    client = report.client
    for endpoint in report.endpoints:
        counts = (str(endpoint.requests), f"{endpoint.rate:.0f}", str(endpoint.errors))
        table.add_row(endpoint.name, *counts, *_spread(endpoint))
    table.add_section()
    counts = (str(client.requests), f"{client.rate:.0f}", str(client.errors))
    table.add_row(Text("all", style="bold"), *counts, *_spread(client))
    table.add_row("all, from the intended start", "", "", "", *_spread(client.corrected))
    if (floor := report.load.generator.floor) is not None:
        table.add_row("floor: the generator alone", "", f"{floor.rate:.0f}", "", *_spread(floor))
    return table


def _services(report: Report) -> Table:
    table = _table("service, ms", "requests", "mean", "p50", "p95", "p99")
    for name, service in report.services.items():
        if service.requests:
            times = (service.mean_ms, service.p50_ms, service.p95_ms, service.p99_ms)
            table.add_row(name, str(service.requests), *map(ms, times))
    table.add_section()
    database = report.database
    table.add_row("database", str(database.queries), ms(database.mean_ms), "", "", "")
    feed = report.feed
    if feed.posts:
        times = (feed.mean_ms, feed.p50_ms, feed.p95_ms, feed.p99_ms)
        table.add_row("from post to feed", str(feed.posts), *map(ms, times))
    for label, p50, p95 in (
        ("probe straight to the service", "direct_p50_ms", "direct_p95_ms"),
        ("probe through the gateway", "through_p50_ms", "through_p95_ms"),
    ):
        probed = [ms(getattr(report.gateway, key)) for key in (p50, p95)]
        table.add_row(label, str(report.gateway.pairs), "", *probed, "")
    return table


def _shares(report: Report) -> str:
    used = report.environment.cpu_us_per_request
    ordered = sorted(used.items(), key=lambda item: -item[1])
    parts = [f"{name} {us:.0f}" for name, us in ordered if us >= 1]
    said = f"CPU us per request: {', '.join(parts)}; together {sum(used.values()):.0f}."
    if (others := report.environment.others_cpu_share) is None:
        return f"{said} Not measured: stores, gateway, other programs, the generators' floor."
    return f"{said} Other programs used {others:.0%} of the machine."


def _failures(report: Report) -> Table:
    table = _table("failed (ramp and warm-up included)", "times")
    for failure in report.client.failures[:MOST_FAILURES]:
        table.add_row(f"{failure.endpoint}: {failure.reason}", str(failure.count))
    return table


def _checks(report: Report) -> Table:
    table = _table("check", "target", "value", "95 % interval", "verdict")
    for check in report.checks:
        verdict = Text(check.verdict, style=COLOURS[check.verdict])
        table.add_row(check.name, f"< {amount(check, check.target)}", *seen(check), verdict)
    return table


def seen(check: Check) -> tuple[str, str]:
    """Return a check's value and its interval, each as people read it."""
    value = "-" if check.value is None else amount(check, check.value)
    if check.interval is None:
        return value, ""
    low, high = check.interval
    return value, f"{amount(check, low)} to {amount(check, high)}"


def amount(check: Check, value: float) -> str:
    """Return a value in the unit of a check."""
    return f"{ms(value)} ms" if check.unit == "ms" else f"{value:.3%}"


def ms(value: float | None) -> str:
    """Return milliseconds to three figures or so."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _verdict(report: Report) -> Text:
    text = Text(report.verdict.upper(), style=f"bold {COLOURS[report.verdict]}")
    for reason in report.reasons:
        text.append(f"\n- {reason}", style="default not bold")
    return text
