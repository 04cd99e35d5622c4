from __future__ import annotations

import pytest

from pulse_cli.bench.scrape import Histogram, Snapshots, between, parse, restarts

METRICS = """\
# TYPE process_start_time_seconds gauge
process_start_time_seconds {started}
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{{method="GET",route="{route}",status="200",le="0.01"}} {fast}
http_request_duration_seconds_bucket{{method="GET",route="{route}",status="200",le="0.05"}} {all}
http_request_duration_seconds_bucket{{method="GET",route="{route}",status="200",le="+Inf"}} {all}
http_request_duration_seconds_count{{method="GET",route="{route}",status="200"}} {all}
http_request_duration_seconds_sum{{method="GET",route="{route}",status="200"}} {sum}
# TYPE db_query_duration_seconds histogram
db_query_duration_seconds_bucket{{query="feed",le="+Inf"}} {all}
db_query_duration_seconds_count{{query="feed"}} {all}
db_query_duration_seconds_sum{{query="feed"}} {sum}
"""


def snapshots(
    fast: int, everything: int, route: str = "/api/v1/feed", started: float = 5.0
) -> Snapshots:
    text = METRICS.format(
        started=started, route=route, fast=fast, all=everything, sum=everything * 0.004
    )
    return {("posts", 0): parse(text)}


def test_only_the_window_counts() -> None:
    window = between(snapshots(1000, 1000), snapshots(1090, 1100))["posts"]
    assert window.requests.count == 100
    assert window.requests.mean == pytest.approx(0.004)
    assert window.queries["feed"].mean == pytest.approx(0.004)


def test_a_quantile_is_interpolated_inside_its_bucket() -> None:
    window = between(snapshots(0, 0), snapshots(90, 100))["posts"]
    assert window.requests.quantile(0.9) == pytest.approx(0.01)
    assert window.requests.quantile(0.95) == pytest.approx(0.03)
    assert window.requests.quantile(0.45) == pytest.approx(0.005)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert Histogram({0.1: 1.0, float("inf"): 10.0}, 5.0, 10.0).quantile(0.5) == 0.1


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.95) is None
    assert Histogram().mean is None


@pytest.mark.parametrize("route", ["/health/live", "/metrics"])
def test_the_platforms_own_machinery_is_no_work(route: str) -> None:
    window = between(snapshots(0, 0, route), snapshots(90, 100, route))["posts"]
    assert window.requests.count == 0


def test_a_series_that_is_new_counts_from_nothing() -> None:
    before: Snapshots = {("posts", 0): parse("process_start_time_seconds 5.0\n")}
    assert between(before, snapshots(90, 100))["posts"].requests.count == 100


def test_a_restart_is_noticed_and_not_counted() -> None:
    before, after = snapshots(90, 100), snapshots(1, 1, started=6.0)
    assert list(restarts(before, after)) == ["posts-0 was restarted during the run"]
    assert between(before, after)["posts"].requests.count == 0


def test_an_instance_that_is_gone_is_noticed() -> None:
    assert list(restarts(snapshots(1, 1), {})) == ["posts-0 did not answer for its metrics"]
