from __future__ import annotations

import pytest

from pulse_cli.bench.processes import Usage, component, cpu_us_per_request, others_share, restarts


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        ("python", ["/venv/bin/python", "-m", "services.posts"], "posts"),
        ("envoy", ["/opt/envoy", "-c", "envoy.json"], "gateway"),
        ("postgres", ["postgres: posts_app posts 127.0.0.1(4711) idle"], "postgres"),
        ("beam.smp", ["/usr/lib/erlang/erts/bin/beam.smp", "-W"], "rabbitmq"),
        ("python3.11", ["/venv/bin/python", "/venv/bin/supervisord", "-c", "x"], "supervisor"),
        (
            "python3",
            ["/venv/bin/python3", "-m", "supervisor.supervisord", "-n"],
            "supervisor",
        ),
        ("python3", ["/venv/bin/python3", "-m", "pulse_cli.bench.generator"], "generator"),
        ("sh", ["/bin/sh", "-s", "rabbit_disk_monitor"], "rabbitmq"),
        ("something", ["something"], "something"),
    ],
)
def test_processes_belong_to_components(name: str, command: list[str], expected: str) -> None:
    assert component(name, command) == expected


def test_cpu_time_is_shared_by_the_requests_of_the_window() -> None:
    before = Usage(10.0, {"posts": 5.0, "gone": 1.0}, {"posts": 1.0}, 0)
    after = Usage(20.0, {"posts": 6.0, "new": 0.5}, {"posts": 1.0}, 0)
    assert cpu_us_per_request(before, after, rate=100) == {"posts": 1000.0, "new": 500.0}


def test_another_first_process_is_a_restart() -> None:
    before = Usage(0, {}, {"postgres": 1.0, "redis": 1.0}, 0)
    after = Usage(0, {}, {"postgres": 1.0, "redis": 2.0}, 0)
    assert list(restarts(before, after)) == ["redis was restarted or ended during the run"]


def test_what_neither_stack_nor_bench_used_is_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    before = Usage(0, {"posts": 1.0, "bench": 1.0}, {}, 100.0)
    after = Usage(10, {"posts": 6.0, "bench": 3.0}, {}, 110.0)
    assert others_share(before, after) == pytest.approx(3 / 20)
