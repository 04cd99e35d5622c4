from datetime import UTC, datetime
from pathlib import Path

import pytest

from pulse_cli.bench.judge import judge_errors, judge_value
from pulse_cli.bench.picture import page
from pulse_cli.bench.report import (
    ClientReport,
    DatabaseReport,
    EndpointReport,
    Environment,
    FeedReport,
    Floor,
    GatewayReport,
    GeneratorReport,
    LoadReport,
    Report,
    SecondReport,
    Spread,
    check_writable,
)
from pulse_cli.errors import Unusable

TIMES = {"mean_ms": 6.0, "p50_ms": 5.0, "p95_ms": 16.0, "p99_ms": 30.0, "max_ms": 40.0}


def report(p95s: list[float]) -> Report:
    floor = Floor(**TIMES, requests=100, rate=10)
    generator = GeneratorReport(processes=1, cpu_shares=[0.1], late_p95_ms=1, floor=floor)
    return Report(
        scenario="mixed",
        environment=Environment(
            started_at=datetime(2026, 1, 2, tzinfo=UTC).isoformat(),
            pulse="1",
            locust="2",
            python="3.11",
            platform="Linux",
            cpu="<b>",
            cores=2,
            memory_gb=8,
            load_average=0,
            target="local",
            cpu_us_per_request={"posts": 700, "gateway": 350, "idle": 0.2},
            others_cpu_share=0.02,
        ),
        load=LoadReport(
            users=10,
            accounts=10,
            source_addresses=10,
            period_s=1,
            intended_rate=10,
            intended_requests=20,
            ramp_s=1,
            warmup_s=1,
            duration_s=2,
            timeout_s=5,
            seed=1,
            generator=generator,
        ),
        client=ClientReport(
            **TIMES,
            requests=20,
            rate=10,
            errors=1,
            error_rate=0.05,
            corrected=Spread(**TIMES),
            failures=[],
        ),
        endpoints=[
            EndpointReport(**TIMES, name="GET /api/v1/feed", requests=20, rate=10, errors=1)
        ],
        seconds=[
            SecondReport(at_s=at, requests=10, errors=at, p50_ms=5, p95_ms=p95)
            for at, p95 in enumerate(p95s)
        ],
        services={},
        database=DatabaseReport(queries=0, mean_ms=None, per_query=[]),
        feed=FeedReport(posts=0, arrived=0, mean_ms=None, p50_ms=None, p95_ms=None, p99_ms=None),
        gateway=GatewayReport(pairs=0, path="/"),
        checks=[
            judge_value("client_p95", 20, 16.0),
            judge_value("database_mean", 25, None),
            judge_errors(0.001, 1, 20),
        ],
        verdict="fail",
        reasons=["1 < 2"],
    )


def test_the_page_shows_the_verdict_and_every_check_and_endpoint() -> None:
    shown = page(report([12, 30]))
    assert '<span class="verdict fail">fail</span>' in shown
    for text in ("client_p95", "database_mean", "error_rate", "GET /api/v1/feed", "1 failed"):
        assert text in shown
    assert "width: 50.0%" in shown, "the gateway takes half of what posts takes"
    assert ">idle<" not in shown


def test_the_page_loads_nothing_and_takes_texts_as_texts() -> None:
    shown = page(report([12, 30]))
    assert "&lt;b&gt;" in shown
    assert "1 &lt; 2" in shown
    assert not any(word in shown for word in ("<script", "src=", "href=", "url(", "<b>"))


def test_the_target_is_drawn_when_it_is_in_the_picture() -> None:
    assert '<line class="limit"' in page(report([12, 30]))
    assert '<line class="limit"' not in page(report([2, 3]))


def test_there_is_no_chart_of_a_moment() -> None:
    assert "<svg" not in page(report([12]))
    assert "<svg" in page(report([0, 0])), "nor does one of nothing but zeros fail"


def test_a_report_replaces_no_folder_and_no_device(tmp_path: Path) -> None:
    for wrong in (tmp_path, Path("/dev/null"), tmp_path / "missing" / "report.html"):
        with pytest.raises(Unusable, match=f"cannot write the report {wrong}"):
            check_writable(wrong)
    check_writable(tmp_path / "report.html")
