"""`pulse bench` in a cluster: its package, what Locust's master and workers do, the verdict."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
import yaml
from aiohttp import web
from pydantic import SecretStr

from pulse_cli.bench.options import Options
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.errors import CheckFailed, ConfigError, Inconclusive, NotHealthy
from pulse_cli.render import docker
from pulse_cli.render.kubernetes.load import NAME, door, load_files
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes import kubectl, load, rollout
from tests.unit.kubectl_support import Cluster
from tests.unit.test_render_kubernetes import configured, validator

OPTIONS = Options(
    scenario="mixed",
    users=10,
    rate=40.0,
    duration=1.5,
    ramp=0.2,
    warmup=0.3,
    seed=1,
    processes=1,
)
LOCUSTFILE = Path(load.__file__).parents[2] / "bench" / "locustfile.py"


def plan(port: int = 80) -> Plan:
    people = [uuid4() for _ in range(3)]
    return Plan(
        scenario="scenarios.mixed",
        host="127.0.0.1",
        port=port,
        users=OPTIONS.users,
        rate=OPTIONS.rate,
        ramp=OPTIONS.ramp,
        warmup=OPTIONS.warmup,
        duration=OPTIONS.duration,
        timeout=2.0,
        seed=1,
        run="test",
        people=people,
        password=SecretStr("secret"),
        identities=[Identity(id=one, username="u", token=SecretStr("t")) for one in people],
    )


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_the_package_follows_strict_schemas_and_the_restricted_standard(version: str) -> None:
    documents = list(yaml.safe_load_all(load_files(Stack(), plan())["bench.yaml"]))
    documents.append(yaml.safe_load(door(Stack())))
    for one in documents:
        rules = validator(version, one["kind"], one["apiVersion"])
        assert [str(error) for error in rules.iter_errors(one)] == []
    jobs = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "Job"}
    assert jobs["bench-master"]["completions"] == 1
    assert jobs["bench-worker"]["completions"] == Stack().kubernetes.bench_workers
    for job in jobs.values():
        pod = job["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert pod["containers"][0]["args"][0] == "locust"
    assert not any("password" in text for text in load_files(Stack(), plan()).values())


async def test_master_and_workers_make_the_intended_load(tmp_path: Path) -> None:
    served: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        served.append(request.headers["Authorization"])
        if len(served) % 2 == 0:
            return web.json_response({"code": "broken"}, status=500)
        return web.json_response({"items": [], "next_cursor": None})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    file = tmp_path / "plan.json"
    file.write_text(plan(server.sockets[0].getsockname()[1]).model_dump_json())
    port = await _free_port()
    common = ("-f", str(LOCUSTFILE), "--loglevel=WARNING", "--stop-timeout=5")
    master = (
        *("--master", "--headless", "--only-summary", "--master-bind-host=127.0.0.1"),
        *(f"--master-bind-port={port}", "--expect-workers=2", "--users=10", "--spawn-rate=10"),
        *("--run-time=6s", "--exit-code-on-error=0"),
    )
    worker = ("--worker", "--master-host=127.0.0.1", f"--master-port={port}")
    try:
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_locust(file, *common, *master))]
            tasks += [group.create_task(_locust(file, *common, *worker)) for _ in range(2)]
    finally:
        await runner.cleanup()
    result = load.judged(configured(), OPTIONS, tasks[0].result().splitlines())
    # Slots that a slow machine does not get to are not sent.
    assert 2 <= result.total.requests <= OPTIONS.rate * OPTIONS.duration
    assert {one.name for one in result.endpoints} >= {"GET /api/v1/feed"}
    assert result.total.failures > 0
    assert any("requests failed" in reason for reason in result.failed)
    assert set(served) == {"Bearer t"}


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def _locust(plan: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PULSE_BENCH_PLAN": str(plan), "PULSE_BENCH_WORKERS": "2"},
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def told(**values: object) -> list[str]:
    numbers = {"requests": 100, "failures": 0, "p50_ms": 5, "p95_ms": 20, "p99_ms": 30}
    whole = {
        "intended": 100,
        "late": 0,
        "total": numbers,
        "endpoints": {"GET /a": numbers},
        "errors": {},
    }
    return ["noise", load.RESULT + json.dumps(whole | values), "more noise"]


def test_the_verdict() -> None:
    stack = configured()
    assert load.judged(stack, OPTIONS, told()).error is None
    slow = {"requests": 100, "failures": 2, "p50_ms": 5, "p95_ms": 300, "p99_ms": 400}
    failed = load.judged(stack, OPTIONS, told(total=slow, late=50))
    assert isinstance(failed.error, CheckFailed)
    assert str(failed.error) == (
        "p95 is 300 ms, not below 200; 2 of 100 requests failed (2.000%), not below 0.100%"
    )
    few = load.judged(stack, OPTIONS, told(intended=200))
    assert isinstance(few.error, Inconclusive)
    late = load.judged(stack, OPTIONS, told(late=6))
    assert "raise kubernetes.bench_workers" in str(late.error)
    with pytest.raises(Inconclusive, match="its master printed no result"):
        load.judged(stack, OPTIONS, ["noise"])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(kubectl, "_run", cluster)
    monkeypatch.setattr(kubectl, "find", lambda: "kubectl")
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0.0)
    return cluster


def seeded(state: Path) -> None:
    people = [{"id": str(uuid4()), "username": f"u{i}"} for i in range(5)]
    (state / "secrets" / "operator").mkdir(parents=True)
    (state / "secrets" / "operator" / "seed_password").write_text("secret")
    (state / "seed.json").write_text(json.dumps({"users": people}))


def test_a_bench_runs_as_pods_and_leaves_nothing(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded(tmp_path)
    stack = configured(**{"kubernetes.context": "fake"})
    plans: list[dict[str, Any]] = []

    def observe(command: Sequence[str], said: str | None) -> Any:
        words = [word for word in command[1:] if not word.startswith("--request-timeout")][2:]
        if words[:2] == ["get", "service"]:
            return cluster._end(json.dumps({"spec": {"clusterIP": "10.96.0.7"}}))
        if words[0] == "logs":
            return cluster._end("\n".join(told()))
        if words[0] == "apply" and said:
            plans.append(json.loads(said))
        if words[0] == "apply" and words[-1].startswith("--kustomize"):
            folder = Path(words[-1].partition("=")[2])
            for one in yaml.safe_load_all((folder / "bench.yaml").read_text()):
                cluster.put(one)
            return cluster._end("")
        if words[0] == "apply":
            return cluster._end("")
        return cluster(command, said)

    monkeypatch.setattr(kubectl, "_run", observe)
    result = load.bench(stack, tmp_path, OPTIONS, lambda _: None)
    assert result.error is None
    assert cluster.names("Job") == set()
    secret = plans[0]
    assert secret["metadata"]["labels"]["app.kubernetes.io/component"] == NAME
    made = Plan.model_validate_json(base64.b64decode(secret["data"]["plan.json"]))
    assert (made.host, made.port, len(made.identities)) == ("10.96.0.7", 80, 5)
    key = (tmp_path / "secrets" / "operator" / "token_key").read_text()
    claims = jwt.decode(
        made.identities[0].token.get_secret_value(), key, ["HS256"], audience="pulse-api"
    )
    assert claims["sub"] == str(made.identities[0].id)


def test_a_rate_that_the_gateway_refuses_is_refused_first(cluster: Cluster, tmp_path: Path) -> None:
    stack = configured(**{"kubernetes.context": "fake", "gateway.requests_per_second": 10})
    with pytest.raises(ConfigError, match=r"--rate 40 is more than the gateway lets 2 addresses"):
        load.bench(stack, tmp_path, OPTIONS, lambda _: None)
    with pytest.raises(NotHealthy, match="holds no seeded users"):
        load.bench(configured(**{"kubernetes.context": "fake"}), tmp_path, OPTIONS, lambda _: None)


def test_the_image_of_the_load_holds_locust_and_the_scenarios_and_no_service() -> None:
    files = docker.load_files(Stack())
    assert any(line.startswith("locust") for line in files["requirements.txt"].splitlines())
    assert {"app/pulse_cli/bench/locustfile.py", "app/scenarios/mixed.py"} <= set(files)
    assert not any(path.startswith("app/services") for path in files)
    args = load_files(Stack(), plan())["bench.yaml"]
    assert "/app/pulse_cli/bench/locustfile.py" in args
