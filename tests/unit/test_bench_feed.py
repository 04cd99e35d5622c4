"""How the bench judges the way of posts into feeds."""

from __future__ import annotations

import pytest

from pulse_cli.bench import measure
from pulse_cli.bench.judge import Verdict
from pulse_cli.bench.report import FeedReport
from pulse_cli.bench.scrape import Snapshots, between, parse
from pulse_cli.stack.model import Targets

MADE = """\
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_count{{method="POST",route="/api/v1/posts",status="201"}} {made}
http_request_duration_seconds_count{{method="POST",route="/api/v1/posts",status="503"}} 70
http_request_duration_seconds_count{{method="GET",route="/api/v1/posts",status="200"}} 70
"""
ARRIVED = """\
# TYPE event_lag_seconds histogram
event_lag_seconds_bucket{{type="post.created",le="0.05"}} {soon}
event_lag_seconds_bucket{{type="post.created",le="0.5"}} {arrived}
event_lag_seconds_bucket{{type="post.created",le="+Inf"}} {arrived}
event_lag_seconds_count{{type="post.created"}} {arrived}
event_lag_seconds_count{{type="post.deleted"}} 70
"""


def snapshots(made: int, soon: int, arrived: int) -> Snapshots:
    return {
        ("posts", 0): parse(MADE.format(made=made)),
        ("social", 0): parse(ARRIVED.format(soon=soon, arrived=arrived)),
    }


def seen(made: int, soon: int, arrived: int) -> FeedReport:
    """What is told of a window with so many posts, after some before it."""
    before = snapshots(5, 2, 5)
    return measure.feed(between(before, snapshots(5 + made, 2 + soon, 5 + arrived)))


def test_posts_and_the_events_that_brought_them_are_counted() -> None:
    found = seen(200, 100, 200)
    assert (found.posts, found.arrived) == (200, 200)
    assert found.p50_ms == pytest.approx(50)
    assert found.p95_ms == pytest.approx(455)


def test_posts_that_have_not_arrived_are_slower_than_all_others() -> None:
    assert seen(200, 100, 199).p99_ms == pytest.approx(495.5, abs=0.1)
    assert seen(200, 100, 180).p95_ms == 500  # the last bound there is


@pytest.mark.parametrize(
    ("made", "soon", "arrived", "verdict"),
    [
        (200, 200, 200, "pass"),
        (200, 100, 180, "fail"),
        (200, 0, 0, "fail"),
        (58, 58, 58, "inconclusive"),
    ],
)
def test_it_is_judged_by_its_p95(made: int, soon: int, arrived: int, verdict: Verdict) -> None:
    (check,) = measure.feed_checks(seen(made, soon, arrived), Targets())
    assert check.verdict == verdict
    assert (check.reason is None) == (verdict == "pass")


def test_without_posts_there_is_nothing_to_judge() -> None:
    assert not list(measure.feed_checks(seen(0, 0, 0), Targets()))
