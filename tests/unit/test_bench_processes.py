from __future__ import annotations

import pytest

from pulse_cli.bench.processes import Usage, component, cpu_us_per_request, restarts


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        ("python", ["/venv/bin/python", "-m", "services.posts"], "posts"),
        ("envoy", ["/opt/envoy", "-c", "envoy.json"], "gateway"),
        ("postgres", ["postgres: posts_app posts 127.0.0.1(4711) idle"], "postgres"),
        ("beam.smp", ["/usr/lib/erlang/erts/bin/beam.smp", "-W"], "rabbitmq"),
        ("python3.11", ["/venv/bin/python", "/venv/bin/supervisord", "-c", "x"], "supervisor"),
        ("something", ["something"], "something"),
    ],
)
def test_processes_belong_to_components(name: str, command: list[str], expected: str) -> None:
    assert component(name, command) == expected


def test_cpu_time_is_shared_by_the_requests_of_the_window() -> None:
    before = Usage(10.0, {"posts": 5.0, "gone": 1.0}, {"posts": 1.0})
    after = Usage(20.0, {"posts": 6.0, "new": 0.5}, {"posts": 1.0})
    assert cpu_us_per_request(before, after, rate=100) == {"posts": 1000.0, "new": 500.0}


def test_another_first_process_is_a_restart() -> None:
    before = Usage(0, {}, {"postgres": 1.0, "redis": 1.0})
    after = Usage(0, {}, {"postgres": 1.0, "redis": 2.0})
    assert list(restarts(before, after)) == ["redis was restarted or ended during the run"]
