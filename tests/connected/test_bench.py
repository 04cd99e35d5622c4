"""The true generator, probe and command against a small fake platform."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from pydantic import SecretStr

from pulse_cli.bench.drive import Processes
from pulse_cli.bench.measure import Client
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.bench.report import Report
from pulse_cli.bench.statistics import percentile
from pulse_cli.stack.model import Service, Services, Stack
from pulse_cli.targets.local.processes import LABEL
from tests.ports import closed_port

FAKE = Path(__file__).with_name("fake_platform.py")
PEOPLE = [UUID(int=100 + i) for i in range(8)]


@contextmanager
def fake_platform(*options: str, folder: Path | None = None) -> Iterator[dict[str, int]]:
    label = {} if folder is None else {LABEL: str(folder / ".pulse")}
    with subprocess.Popen(
        [sys.executable, str(FAKE), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **label},
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(60)


def a_plan(port: int, users: int, rate: float, duration: float) -> Plan:
    return Plan(
        scenario="scenarios.mixed",
        host="127.0.0.1",
        port=port,
        users=users,
        rate=rate,
        ramp=0.5,
        warmup=0.5,
        duration=duration,
        timeout=3.0,
        seed=7,
        run="test",
        people=PEOPLE,
        password=SecretStr("password"),
        identities=[Identity(id=PEOPLE[0], username="u0001", token=SecretStr("t"))],
    )


async def drive(*plans: Plan) -> Client:
    async with Processes(plans) as running:
        timeline = await running.begin()
        await running.gather()
    return Client(running, timeline)


def peers(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/peers") as answer:
        found: list[str] = json.load(answer)
    return found


def is_late(client: Client) -> bool:
    """Whether the machine kept the generator from sending in time: it skips what is too late."""
    return client.late_p95 > 50


async def test_every_intended_request_is_made_from_an_address_per_user() -> None:
    with fake_platform() as ports:
        client = await drive(a_plan(ports["gateway"], users=40, rate=80, duration=3))
        seen = peers(ports["gateway"])
    report = client.report()
    assert client.drive.intended == pytest.approx(240, abs=40)
    assert report.requests == client.drive.intended or is_late(client)
    assert report.errors == 0
    assert seen == sorted(f"127.64.0.{i}" for i in range(1, 41))
    assert {e.name for e in client.endpoints()} == {
        "GET /api/v1/feed",
        "GET /api/v1/posts",
        "POST /api/v1/posts",
    }


async def test_two_processes_share_the_users_without_sharing_addresses() -> None:
    with fake_platform() as ports:
        plan = a_plan(ports["gateway"], users=10, rate=50, duration=2)
        halves = [plan.model_copy(update={"first": i, "stride": 2}) for i in range(2)]
        client = await drive(*halves)
        assert len(peers(ports["gateway"])) == 10
    assert client.drive.intended == 100
    assert client.report().requests == 100 or is_late(client)


async def test_a_stall_shows_in_the_latency_from_the_intended_start() -> None:
    with fake_platform("--stall", "100", "1.0") as ports:
        client = await drive(a_plan(ports["gateway"], users=10, rate=50, duration=4))
    # Ten users meet the stall once each, but the pacing wanted about fifty requests during it.
    samples = client.drive.samples
    corrected = [samples.corrected(i) for i in range(len(samples))]
    assert sum(seconds > 0.5 for seconds in corrected) > 2 * 10
    assert client.report().corrected.p99_ms > 700
    waited = [i for i in range(len(samples)) if corrected[i] - samples.latency[i] > 0.3]
    shares = sorted(samples.late[i] / (corrected[i] - samples.latency[i]) for i in waited)
    assert percentile(shares, 0.5) < 0.5, "waiting for an answer is not the generator's lateness"


async def test_a_refused_connection_is_an_error() -> None:
    with closed_port() as port:
        client = await drive(a_plan(port, users=5, rate=25, duration=1))
    report = client.report()
    assert report.requests > 0
    assert report.error_rate == 1
    assert "ConnectionRefusedError" in report.failures[0].reason


async def test_failed_answers_are_grouped_by_their_code() -> None:
    with fake_platform("--failing", "2") as ports:
        client = await drive(a_plan(ports["gateway"], users=5, rate=50, duration=1))
    report = client.report()
    assert report.error_rate == pytest.approx(0.5, abs=0.1)
    assert {failure.reason for failure in report.failures} == {"500 broken"}


def a_project(folder: Path, ports: dict[str, int]) -> Path:
    """A folder that looks like that of a running, seeded stack."""
    state = folder / ".pulse"
    (state / "run").mkdir(parents=True)
    (state / "secrets" / "operator").mkdir(parents=True)
    services = {name: Service(port=port) for name, port in ports.items() if name != "gateway"}
    stack = Stack.model_validate(
        {"gateway": {"port": ports["gateway"]}, "services": Services(**services).model_dump()}
    )
    (state / "run" / "stack.json").write_text(stack.model_dump_json())
    users = [{"id": str(id_), "username": f"u{id_.int}"} for id_ in PEOPLE]
    (state / "seed.json").write_text(json.dumps({"users": users}))
    (state / "secrets" / "operator" / "seed_password").write_text("password")
    return folder


def pulse_bench(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("pulse"), "-C", str(folder), "bench", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


OF_THE_MACHINE = re.compile(
    "other programs used|sent late|the generator alone|was saturated|intended requests were made"
)
SHORT = ("--users", "40", "--rate", "300", "--ramp", "1", "--warmup", "1")


def measured(folder: Path, *options: str) -> tuple[Report, str, str]:
    """Run the command to its end and return its report, its standard output and error.

    Its exit code must be that of the verdict. Which one that is also depends on how quiet this
    machine is: see `undisturbed`.
    """
    file = folder / "report.json"
    run = pulse_bench(folder, "mixed", *SHORT, *options, "--json", str(file))
    out, err = run.communicate(timeout=250)
    report = Report.model_validate_json(file.read_text())
    assert run.returncode == {"pass": 0, "fail": 3, "inconclusive": 4}[report.verdict]
    assert report.verdict.upper() in out
    assert "password" not in file.read_text() + out + err
    return report, out, err


def undisturbed(report: Report) -> bool:
    """Whether the report blames nothing on the machine, so that its verdict is of the platform."""
    return not any(OF_THE_MACHINE.search(reason) for reason in report.reasons)


def verdict_of(report: Report, name: str) -> str:
    return next(check.verdict for check in report.checks if check.name == name)


def test_the_command_passes_a_quick_platform_and_writes_its_report(tmp_path: Path) -> None:
    with fake_platform(folder=tmp_path) as ports:
        picture = tmp_path / "report.html"
        options = ("--duration", "11", "--html", str(picture))
        report, _, _ = measured(a_project(tmp_path, ports), *options)
    assert f">{report.verdict}</span>" in picture.read_text()
    assert sum(second.requests for second in report.seconds) <= report.client.requests
    assert list(json.loads((tmp_path / "report.json").read_text())) == [
        *("schema", "scenario", "environment", "load", "client", "endpoints", "seconds"),
        *("services", "database", "feed", "gateway", "checks", "verdict", "reasons"),
    ]
    assert verdict_of(report, "error_rate") != "fail"
    if undisturbed(report):
        assert report.verdict == verdict_of(report, "error_rate") == "pass"
        assert report.client.requests >= 0.95 * report.load.intended_requests
        assert report.gateway.pairs > 90
        assert report.feed.posts > 400
    assert report.load.source_addresses == 40
    assert report.load.generator.floor is not None
    assert report.load.generator.floor.requests > 0
    assert report.database.mean_ms == pytest.approx(1, abs=0.1)
    assert report.services["posts"].requests > report.client.requests * 0.9
    assert report.feed.arrived == report.feed.posts > 0
    assert verdict_of(report, "post_to_feed_p95") == "pass"
    assert report.environment.cpu_us_per_request["generator"] > 0


def test_the_command_fails_a_platform_whose_posts_reach_feeds_late(tmp_path: Path) -> None:
    with fake_platform("--lag", "0.7", folder=tmp_path) as ports:
        report, out, _ = measured(a_project(tmp_path, ports), "--duration", "3")
    assert verdict_of(report, "post_to_feed_p95") == "fail"
    assert report.feed.mean_ms == pytest.approx(700, abs=10)
    assert "from post to feed" in out


def test_the_command_fails_a_platform_with_errors(tmp_path: Path) -> None:
    with fake_platform("--failing", "20", folder=tmp_path) as ports:
        report, out, err = measured(a_project(tmp_path, ports), "--duration", "9")
    assert verdict_of(report, "error_rate") == "fail"
    assert "GET /api/v1/feed: 500 broken" in out
    if undisturbed(report):
        assert report.verdict == "fail"
        targets = len(report.checks)
        assert err.splitlines()[-1] == f"pulse: missed 1 of {targets} targets: error_rate"


def test_too_few_samples_are_inconclusive(tmp_path: Path) -> None:
    with fake_platform(folder=tmp_path) as ports:
        report, out, _ = measured(a_project(tmp_path, ports), "--duration", "3")
    assert report.verdict == "inconclusive"
    assert verdict_of(report, "client_p95") == "inconclusive"
    assert verdict_of(report, "error_rate") == "inconclusive"
    assert "client_p95: too few samples" in out


def test_a_stack_that_was_never_seeded_is_said_so(tmp_path: Path) -> None:
    with fake_platform() as ports:
        folder = a_project(tmp_path, ports)
        (folder / ".pulse" / "seed.json").unlink()
        run = pulse_bench(folder, "mixed")
        _, err = run.communicate(timeout=250)
    assert run.returncode == 6
    assert err.splitlines()[-1] == (
        "pulse: the stack holds no seeded users; seed the stack with: pulse seed --users 1000"
    )


def test_an_unknown_scenario_names_those_there_are(tmp_path: Path) -> None:
    run = pulse_bench(tmp_path, "nonsense")
    _, err = run.communicate(timeout=250)
    assert run.returncode == 2
    assert "mixed, platform" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_bench_that_is_stopped_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with fake_platform() as ports:
        run = pulse_bench(a_project(tmp_path, ports), "mixed", *SHORT)
        process = psutil.Process(run.pid)
        children = _wait_for_generator(process)
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=60)
    assert run.returncode == code, err
    assert "Traceback" not in err
    assert not alive


def _wait_for_generator(process: psutil.Process) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = process.children(recursive=True)
        if any("pulse_cli.bench.generator" in child.cmdline() for child in children):
            return children
        time.sleep(0.1)
    raise AssertionError("the generator did not start")
