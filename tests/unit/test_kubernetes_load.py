"""`pulse bench` and `pulse verify` in a cluster: the load's pods, and what is heard of them."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
import yaml
from aiohttp import web
from pydantic import SecretStr

from pulse_cli.bench.identities import Seed, SeededUser
from pulse_cli.bench.measure import Client
from pulse_cli.bench.options import Options
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.bench.scrape import Instance, Snapshot, cpu_us_per_request, restarts
from pulse_cli.errors import ConfigError, PulseError
from pulse_cli.render import docker
from pulse_cli.render.kubernetes.load import WORKER, door, jobs
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes import forward, kubectl, workers
from pulse_cli.targets.kubernetes.forward import Instances
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.load import Cluster as Place
from pulse_cli.targets.kubernetes.pods import PART_OF_PULSE
from pulse_cli.targets.kubernetes.workers import Pods, Workers
from pulse_cli.targets.progress import StartFailed
from tests.ports import free_port
from tests.unit.kubectl_support import Cluster, waiting
from tests.unit.kubernetes_package import configured
from tests.unit.kubernetes_schemas import validator

OPTIONS = Options(
    scenario="mixed",
    users=10,
    rate=40.0,
    duration=4.0,
    ramp=0.2,
    warmup=0.3,
    seed=1,
    processes=2,
)
LOCUSTFILE = Path(workers.__file__).parents[2] / "bench" / "locustfile.py"


def plans(port: int = 80) -> list[Plan]:
    people = [uuid4() for _ in range(3)]
    identities = [Identity(id=one, username="u", token=SecretStr("t")) for one in people]
    seed = Seed([SeededUser(id=one, username="u") for one in people], SecretStr("secret"))
    return OPTIONS.plans(OPTIONS.plan(seed, identities, ("127.0.0.1", port)))


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_the_package_follows_strict_schemas_and_the_restricted_standard(version: str) -> None:
    documents = list(yaml.safe_load_all(jobs(Stack(), plans())))
    documents.append(yaml.safe_load(door(Stack())))
    for one in documents:
        rules = validator(version, one["kind"], one["apiVersion"])
        assert [str(error) for error in rules.iter_errors(one)] == []
    found = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "Job"}
    assert found["bench-master"]["completions"] == 1
    assert found["bench-worker"]["completions"] == 2
    for job in found.values():
        pod = job["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert pod["containers"][0]["args"][0] == "locust"
    assert "secret\n" not in jobs(Stack(), plans())


class Stand(Workers):
    """Starts the load's processes here; following the master's log is running the master."""

    def __init__(self, folder: Path, port: int) -> None:
        self.kubectl = Kubectl("fake", "pulse")
        self.patience = 60
        self.folder = folder
        self.port = port
        self.running: list[subprocess.Popen[bytes]] = []
        self.deleted = False
        program = folder / "kubectl"
        program.write_text(MASTER.format(python=sys.executable, file=LOCUSTFILE, port=port))
        program.chmod(0o755)

    def prepare(self, plans: Sequence[Plan], probe: ProbePlan | None) -> None:
        (self.folder / "plan.json").write_text(plans[0].model_dump_json())
        if probe is not None:
            (self.folder / "probe.json").write_text(probe.model_dump_json())

    def apply(self, selector: str) -> None:
        if selector.endswith(f"={WORKER}") and "!" not in selector:
            master = ("--master-host=127.0.0.1", f"--master-port={self.port}")
            command = (sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--worker", *master)
            quiet = subprocess.DEVNULL
            self.running = [subprocess.Popen(command, stdout=quiet, stderr=quiet) for _ in range(2)]

    def delete(self) -> None:
        self.deleted = True
        for process in self.running:
            process.kill()
            process.wait()


MASTER = """#!/bin/sh
test "$4" = --follow || exit 1
echo noise
exec {python} -m locust -f {file} --loglevel=WARNING --stop-timeout=5 --master --headless \
  --only-summary --master-bind-host=127.0.0.1 --master-bind-port={port} --expect-workers=2 \
  --users=10 --spawn-rate=10 --run-time=600s --exit-code-on-error=0 2>&1
"""


@pytest.fixture
def stand(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    for document in yaml.safe_load_all(jobs(Stack(), plans())):
        if document["kind"] == "Job":
            cluster.put(document)
    made = Stand(tmp_path, free_port())
    monkeypatch.setattr(workers, "find", lambda: str(tmp_path / "kubectl"))
    monkeypatch.setenv("PULSE_BENCH_PLAN", str(tmp_path))
    monkeypatch.setenv("PULSE_BENCH_WORKERS", "2")
    return made


async def test_master_and_workers_make_the_intended_load(stand: Stand) -> None:
    served: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == PROBED:
            return web.json_response({})
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
    made = plans(port := server.sockets[0].getsockname()[1])
    probe = ProbePlan(
        gateway=("127.0.0.1", port),
        instances=[("127.0.0.1", port)],
        path=PROBED,
        token=SecretStr("t"),
        source=None,
        opens=0.0,
        closes=0.0,
    )
    try:
        async with asyncio.timeout(300), Pods(stand, made, probe) as drive:
            timeline = await drive.begin()
            await drive.gather()
            pairs = await drive.pairs
    finally:
        await runner.cleanup()
    seen = Client(drive, timeline)
    report = seen.report()
    # Slots that a slow machine does not get to are not sent, be it the whole window.
    assert report.requests <= drive.intended == OPTIONS.rate * OPTIONS.duration
    assert 2 <= len(drive.samples) <= len(served)
    assert "GET /api/v1/feed" in drive.endpoints
    assert "500 broken" in {one.reason for one in report.failures}
    assert len(seen.cpu_shares) <= 2
    assert set(served) == {"Bearer t"}
    assert all(0 <= at < OPTIONS.duration for at in pairs["at"])
    assert len(pairs["at"]) == len(pairs["gateway"]) == len(pairs["direct"])
    assert stand.deleted


PROBED = "/api/v1/users/me"


async def test_a_master_that_ends_says_why(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho 'no workers came'\n")
    async with Pods(stand, plans()) as drive:
        with pytest.raises(PulseError, match="master ended before its time: no workers came"):
            await drive.begin()
    assert stand.deleted


async def test_a_load_whose_image_is_missing_is_told_and_deleted(
    stand: Stand, cluster: Cluster
) -> None:
    cluster.held["bench-master"] = waiting("ErrImageNeverPull", "no such image")
    stand.patience = 0
    async with AsyncExitStack() as stack:
        with pytest.raises(StartFailed, match=r"bench-master .* ErrImageNeverPull: no such image"):
            await stack.enter_async_context(Pods(stand, plans()))
    assert stand.deleted


def test_the_image_of_the_load_holds_locust_and_the_scenarios_and_no_service() -> None:
    files = docker.load_files(Stack())
    assert any(line.startswith("locust") for line in files["requirements.txt"].splitlines())
    assert {"app/pulse_cli/bench/locustfile.py", "app/scenarios/mixed.py"} <= set(files)
    assert not any(path.startswith("app/services") for path in files)
    assert "/app/pulse_cli/bench/locustfile.py" in jobs(Stack(), plans())


def place(tmp_path: Path, **settings: object) -> Place:
    return Place(configured(**{"kubernetes.context": "fake", **settings}), tmp_path)


@pytest.mark.parametrize(
    ("rate", "users", "limit", "wanted"),
    [(40.0, 10, 50, 2), (200.0, 50, 50, 5), (40.0, 1, 1000, 1), (500.0, 1000, 50, 13)],
)
def test_there_are_as_many_workers_as_the_gateways_limit_asks_for(
    rate: float, users: int, limit: int, wanted: int, tmp_path: Path
) -> None:
    there = place(tmp_path, **{"gateway.requests_per_second": limit})
    assert there.fit(replace(OPTIONS, rate=rate, users=users)).processes == wanted


def test_a_rate_that_the_gateway_refuses_is_refused_first(tmp_path: Path) -> None:
    there = place(tmp_path, **{"gateway.requests_per_second": 4})
    with pytest.raises(ConfigError, match=r"--rate 40 is more than the gateway lets 10 addresses"):
        there.fit(OPTIONS)


async def test_users_are_given_tokens_that_services_believe(tmp_path: Path) -> None:
    people = [SeededUser(id=uuid4(), username=f"u{i}") for i in range(5)]
    there = place(tmp_path)
    found = await there.identities(Seed(people, SecretStr("secret")), OPTIONS, lambda: None)
    key = (tmp_path / "secrets" / "operator" / "token_key").read_text()
    claims = jwt.decode(found[4].token.get_secret_value(), key, ["HS256"], audience="pulse-api")
    assert claims["sub"] == str(people[4].id) and claims["exp"] > claims["iat"] + 300


def test_what_the_pods_are_told_is_a_secret_beside_the_package(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    def observe(command: Sequence[str], said: str | None) -> Any:
        if "apply" in command and said:
            told.append(json.loads(said))
            return cluster._end("")
        return cluster(command, said)

    monkeypatch.setattr(kubectl, "_run", observe)
    stack = configured(**{"kubernetes.context": "fake"})
    package = Workers(stack, tmp_path, Kubectl("fake", "pulse"))
    package.prepare(plans(), None)
    (secret,) = told
    assert secret["metadata"]["labels"]["app.kubernetes.io/component"] == "bench"
    made = Plan.model_validate_json(base64.b64decode(secret["data"]["plan.json"]))
    assert made.password.get_secret_value() == "secret"
    written = [file.read_text() for file in (tmp_path / "kubernetes").rglob("*") if file.is_file()]
    assert written and not any('"token"' in text for text in written)
    assert all("--namespace=pulse" in words for words in cluster.commands)


def test_pods_that_come_later_are_found_and_keep_their_number(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(forward.Forwards, "open", lambda _, pod, port, remote: opened.append(pod))
    monkeypatch.setattr(forward.Forwards, "wait", lambda _: None)
    for document in yaml.safe_load_all(SERVICE):
        cluster.put(document)
    instances = Instances(Kubectl("fake", "pulse"), PART_OF_PULSE)
    assert set(instances.find()) == {("posts", 0)}
    cluster.objects["Deployment", "posts"]["spec"]["replicas"] = 3
    assert set(instances.find()) == {("posts", 1), ("posts", 2)}
    assert opened == ["posts-0", "posts-1", "posts-2"]
    assert len(set(instances.ports.values())) == 3


SERVICE = """
kind: Deployment
metadata: {name: posts, labels: {app.kubernetes.io/part-of: pulse}}
spec:
  replicas: 1
  template:
    metadata:
      labels:
        app.kubernetes.io/name: posts
        app.kubernetes.io/component: service
        app.kubernetes.io/part-of: pulse
    spec: {containers: [{ports: [{containerPort: 8082}]}]}
"""


POSTS: list[Instance] = [("posts", 0), ("posts", 1), ("posts", 2)]


def snapshot(started: float, cpu: float) -> Snapshot:
    return Snapshot(started, {}, {}, {}, cpu)


def test_what_services_say_of_their_cpu_time_is_divided_by_the_requests() -> None:
    before = {POSTS[0]: snapshot(1, 2.0), POSTS[1]: snapshot(1, 5.0)}
    after = {POSTS[0]: snapshot(1, 3.0), POSTS[1]: snapshot(2, 1.0)}
    assert cpu_us_per_request(before, after, 1000) == {"posts": pytest.approx(1000)}
    grown = {**after, POSTS[2]: snapshot(1, 0.0)}
    assert sorted(restarts(before, grown)) == [
        "posts-1 was restarted during the run",
        "posts-2 joined during the run: the service was scaled",
    ]
