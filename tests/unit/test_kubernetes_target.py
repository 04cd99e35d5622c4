"""The Kubernetes target against a cluster that stands for one."""

from __future__ import annotations

import atexit
import base64
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, PulseError, Unusable
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import SERVICE_NAMES, Stack
from pulse_cli.targets.kubernetes import forward, kubectl, rollout
from pulse_cli.targets.kubernetes.package import STACK, stack_id
from pulse_cli.targets.kubernetes.target import Kubernetes
from pulse_cli.targets.progress import Progress, StartFailed
from tests.unit.kubectl_support import Cluster, Document, unschedulable, waiting

WORKLOADS = {*SERVICE_NAMES, "gateway"}
MANAGED = {
    "kubernetes.overlay": "production",
    "kubernetes.managed.postgres": "db.example.org",
    "kubernetes.managed.redis": "cache.example.org",
    "kubernetes.managed.rabbitmq": "mq.example.org",
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(kubectl, "_run", cluster)
    monkeypatch.setattr(kubectl, "find", lambda: "kubectl")
    monkeypatch.setattr("pulse_cli.targets.kubernetes.target.find", lambda: "kubectl")
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(rollout, "STUCK_SECONDS", 0.0)
    return cluster


def configured(**settings: object) -> Stack:
    values = {"target": "kubernetes", "kubernetes.timeout_seconds": 10, **settings}
    return load_stack(Path("/nowhere"), values, {})


class Seen:
    """What a start told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.names: list[str] = []

    def show(self, progress: Sequence[Progress]) -> None:
        self.names += [one.name for one in progress if one.name not in self.names]

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def up(state: Path, stack: Stack | None = None) -> tuple[Kubernetes, Seen]:
    target, seen = Kubernetes(state / ".pulse"), Seen()
    target.up(stack or configured(), False, seen.show, seen.say)
    return target, seen


def test_up_goes_in_stages_and_says_where(cluster: Cluster, tmp_path: Path) -> None:
    target, seen = up(tmp_path)
    assert cluster.names("Deployment") == WORKLOADS
    assert cluster.names("StatefulSet") == {"postgres", "redis", "rabbitmq"}
    assert seen.names[:4] == ["postgres", "rabbitmq", "redis", "migrate"]
    assert set(seen.names[4:]) == WORKLOADS
    assert seen.said[0] == "into namespace pulse of context fake, overlay dev"
    assert "port-forward service/gateway 8000:80" in seen.said[1]
    assert target.running().kubernetes.context == "fake"


def test_every_command_names_its_context_and_namespace(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    target.status()
    target.down()
    for words in cluster.commands:
        if words != ["config", "current-context"]:
            assert words[:2] == ["--context=fake", "--namespace=pulse"]


def test_secrets_go_to_standard_input_alone(cluster: Cluster, tmp_path: Path) -> None:
    up(tmp_path)
    password = (tmp_path / ".pulse" / "secrets" / "posts" / "database_password").read_text()
    posts = cluster.objects["Secret", "posts"]["data"]
    assert base64.b64decode(posts["database_password"]).decode() == password
    assert not any(password in word for words in cluster.commands for word in words)
    for file in (tmp_path / ".pulse" / "kubernetes").rglob("*"):
        assert not file.is_file() or password not in file.read_text()


def test_up_again_keeps_the_place_and_what_was_scaled(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    target.scale("posts", 2, lambda _: None)
    cluster.contexts = ["fake", "another"]
    up(tmp_path)
    assert cluster.objects["Deployment", "posts"]["spec"]["replicas"] == 2
    with pytest.raises(ConfigError, match="runs in namespace pulse of context fake"):
        up(tmp_path, configured(**{"kubernetes.context": "another"}))


def test_what_is_no_longer_wanted_is_deleted(cluster: Cluster, tmp_path: Path) -> None:
    up(tmp_path)
    label = {STACK: stack_id(tmp_path / ".pulse")}
    for name, labels in (("posts-canary", label), ("theirs", {})):
        cluster.put(
            {
                "kind": "ConfigMap",
                "metadata": {"name": name, "labels": labels},
            }
        )
    up(tmp_path)
    assert "posts-canary" not in cluster.names("ConfigMap")
    assert "theirs" in cluster.names("ConfigMap")


def test_down_deletes_what_is_ours_where_it_was_started(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, _ = up(tmp_path)
    cluster.put({"kind": "Service", "metadata": {"name": "theirs", "labels": {}}})
    # The other targets' `down` may have run before.
    (tmp_path / ".pulse" / "run" / "stack.json").unlink()
    assert target.down() == 11  # pods
    assert set(cluster.objects) == {("Service", "theirs")}
    assert "namespace pulse of context fake" in capsys.readouterr().err
    count = len(cluster.commands)
    assert target.down() == 0
    assert len(cluster.commands) == count  # without a record no cluster is asked
    with pytest.raises(NotHealthy, match="no stack is running"):
        target.running()


@pytest.mark.parametrize(
    ("workload", "status", "reason"),
    [
        (
            "posts",
            waiting("ImagePullBackOff", 'Back-off pulling image "pulse-services:0"'),
            "posts did not become ready: ImagePullBackOff: Back-off pulling image",
        ),
        (
            "users",
            waiting("CrashLoopBackOff", restarts=4),
            r"users did not become ready: it ended 4 times, last with 1 \(Error\)",
        ),
        (
            "redis",
            waiting("CreateContainerConfigError", 'secret "redis" not found'),
            'redis did not become ready: CreateContainerConfigError: secret "redis" not found',
        ),
    ],
)
def test_what_hangs_is_named_with_its_reason_and_undone(
    workload: str, status: Document, reason: str, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.held[workload] = status
    with pytest.raises(StartFailed, match=reason):
        up(tmp_path)
    assert cluster.objects == {}
    assert not (tmp_path / ".pulse" / "run" / "stack.json").exists()


def test_a_full_cluster_is_waited_for_until_the_time_is_over(
    cluster: Cluster, tmp_path: Path
) -> None:
    up(tmp_path)
    cluster.held["posts"] = unschedulable("0/3 nodes are available: 3 Insufficient cpu.")
    clock = iter(range(0, 1000, 10))
    with pytest.raises(StartFailed, match=r"posts .* 3 Insufficient cpu\. \(waited 60 s\)"):
        rollout.wait(
            kubectl.Kubectl("fake", "pulse"),
            f"{rollout.NAME}=posts",
            lambda _: None,
            60,
            lambda: next(clock),
        )
    assert next(clock) >= 60


def test_pods_that_admission_refuses_are_told(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "posts-x" is forbidden: exceeded quota: small',
    }
    cluster.held["posts"] = {"phase": "Pending"}
    found = Cluster._select
    try:

        def with_condition(self: Cluster, words: list[str]) -> list[Document]:
            objects = found(self, words)
            for one in objects:
                if one["kind"] == "Deployment" and one["metadata"]["name"] == "posts":
                    one["status"] = {"conditions": [refused]}
            return objects

        Cluster._select = with_condition  # type: ignore[method-assign]
        with pytest.raises(StartFailed, match=r"its pods are refused: .* exceeded quota: small"):
            target.restart(["posts"], lambda _: None)
    finally:
        Cluster._select = found  # type: ignore[method-assign]


def test_a_failed_change_leaves_what_ran_before(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    cluster.held["posts"] = waiting("ErrImagePull", "not found")
    with pytest.raises(StartFailed):
        up(tmp_path, configured(**{"images.services": "pulse-services:broken"}))
    assert cluster.names("Deployment") == WORKLOADS
    assert target.running().target == "kubernetes"


def test_the_last_lines_are_those_from_before_a_crash(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    cluster.held["posts"] = waiting("CrashLoopBackOff", restarts=4)
    assert target.last_lines("posts", 10) == ["Traceback", "KeyError: 'SERVICE_PORT'"]


def test_status_shows_pods_under_names_that_people_can_say(
    cluster: Cluster, tmp_path: Path
) -> None:
    target, _ = up(tmp_path)
    target.scale("posts", 3, lambda _: None)
    found = {one.name: one for one in target.status()}
    assert {"migrate", "postgres", "posts-0", "posts-2", "gateway-0"} <= set(found)
    assert found["migrate"].state == "done"
    assert found["posts-0"].state == "running" and found["posts-0"].port == 8082
    assert found["posts-0"].log == "kubectl --context=fake --namespace=pulse logs posts-0"
    assert target.ready("posts-2") and not target.ready("posts-3")
    cluster.held["users"] = unschedulable("no room")
    assert {one.name: one.state for one in target.status()}["users-0"] == "unschedulable"


def test_scaling_past_the_database_is_refused_with_the_sum(
    cluster: Cluster, tmp_path: Path
) -> None:
    target, _ = up(tmp_path)
    with pytest.raises(ConfigError, match="posts=16 needs 241 PostgreSQL connections"):
        target.scale("posts", 16, lambda _: None)
    assert cluster.objects["Deployment", "posts"]["spec"]["replicas"] == 1


def test_what_scales_by_itself_is_given_another_minimum(cluster: Cluster, tmp_path: Path) -> None:
    cluster.put({"kind": "Secret", "metadata": {"name": "gateway-tls"}})
    target, _ = up(tmp_path, configured(**MANAGED, **{"kubernetes.monitoring": False}))
    target.scale("posts", 4, lambda _: None)
    scaler = cluster.objects["HorizontalPodAutoscaler", "posts"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (4, 6)
    assert sum(one.name.startswith("posts-") for one in target.status()) == 4
    target.scale("posts", 2, lambda _: None)  # it shrinks by itself
    assert sum(one.name.startswith("posts-") for one in target.status()) == 4
    with pytest.raises(ConfigError, match=r"posts=7 is not between 2 and 6 .* = 406 of 400"):
        target.scale("posts", 7, lambda _: None)


@pytest.mark.parametrize(
    ("settings", "said", "error"),
    [
        ({"gateway.kind": "envoy"}, "gateway.kind = envoy is not allowed", ConfigError),
        (
            {"kubernetes.overlay": "aws"},
            "say where they are: kubernetes.managed.postgres, kubernetes.managed.redis",
            ConfigError,
        ),
        ({"kubernetes.context": "lost"}, "kubectl has no context 'lost'", ConfigError),
        (MANAGED, "has no secret gateway-tls; make it with: kubectl --context=fake", NotHealthy),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_applied(
    settings: dict[str, object],
    said: str,
    error: type[PulseError],
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=said):
        up(tmp_path, configured(**settings))
    assert cluster.objects == {}


@pytest.mark.parametrize(
    ("stderr", "said", "error"),
    [
        (
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the port?",
            "the cluster of context fake is out of reach: The connection to the server",
            Unusable,
        ),
        (
            'Error from server (Forbidden): namespaces "pulse" is forbidden: User "x" cannot get',
            'may not do this in namespace pulse of context fake: namespaces "pulse" is forbidden',
            Unusable,
        ),
        (
            'error: no matches for kind "ServiceMonitor" in version "monitoring.coreos.com/v1"',
            "knows no ServiceMonitor .* install the Prometheus operator, or set",
            MissingComponent,
        ),
        (
            'Error from server (Forbidden): pods "x" is forbidden: violates PodSecurity "baseline"',
            "refuses an object: .*violates PodSecurity",
            Unusable,
        ),
        (
            "error: something else",
            "kubectl failed in namespace pulse .*: something else",
            NotHealthy,
        ),
    ],
)
def test_each_failure_of_kubectl_is_one_sentence(
    stderr: str, said: str, error: type[PulseError], cluster: Cluster, tmp_path: Path
) -> None:
    cluster.refuses["apply"] = stderr
    with pytest.raises(error, match=said):
        up(tmp_path)


def test_a_cluster_without_metrics_cannot_scale_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    cluster.metrics = False
    with pytest.raises(MissingComponent, match=r"serves no metrics .* install metrics-server"):
        up(tmp_path, configured(**MANAGED))


def test_a_namespace_of_another_stack_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    up(tmp_path / "one")
    before = json.dumps([*cluster.objects.values()])
    with pytest.raises(Unusable, match="holds the stack of another folder"):
        up(tmp_path / "two")
    assert json.dumps([*cluster.objects.values()]) == before


def test_isolated_is_no_place_in_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a kubernetes.namespace of its own"):
        Kubernetes(tmp_path).up(configured(), True, lambda _: None, lambda _: None)


def test_without_kubectl_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match=r"kubectl is not installed; install 1.27 or later"):
        up(tmp_path)
    assert Kubernetes(tmp_path / ".pulse").down() == 0


FORWARD = """#!{python}
import socket, sys, time
ports = sys.argv[-1].split(":")
if sys.argv[-2] == "pod/{broken}":
    sys.exit("error: unable to forward port: pod is gone")
server = socket.create_server(("127.0.0.1", int(ports[0])))
server.listen()
open(r"{record}", "a").write(" ".join(sys.argv[1:]) + "\\n")
time.sleep(60)
"""


@pytest.mark.parametrize("broken", ["nobody", "posts-1"])
def test_pods_are_reached_on_ports_of_this_machine(
    broken: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, record = tmp_path / "kubectl", tmp_path / "forwards"
    program.write_text(FORWARD.format(python=sys.executable, record=record, broken=broken))
    program.chmod(0o755)
    monkeypatch.setattr(forward, "find", lambda: str(program))
    closes: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", closes.append)
    target, _ = up(tmp_path)
    target.scale("posts", 2, lambda _: None)
    try:
        if broken == "posts-1":
            with pytest.raises(PulseError, match="unable to forward port: pod is gone"):
                target.reached()
            return
        stack = target.reached()
        assert stack.services.posts.replicas == 2
        assert stack.gateway.port != 8000
        forwarded = dict(line.rsplit(" ", 1) for line in record.read_text().splitlines())
        ports = {words.rpartition("/")[2]: pair for words, pair in forwarded.items()}
        assert ports["posts-1"] == f"{stack.instance_port('posts', 1)}:8082"
        assert ports["gateway-0"] == f"{stack.gateway.port}:8000"
        assert ports["postgres-0"] == f"{stack.postgres.port}:5432"
        assert all(words.startswith("--context=fake --namespace=pulse") for words in forwarded)
    finally:
        for close in closes:
            close()


def test_what_is_not_ready_cannot_be_reached(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    cluster.held["posts"] = unschedulable("no room")
    with pytest.raises(NotHealthy, match=r"no pod is ready of posts in namespace pulse"):
        target.reached()


LOGS = """#!{python}
import sys
assert sys.argv[1:3] == ["--context=fake", "--namespace=pulse"], sys.argv
assert "--tail=5" in sys.argv and "--prefix" in sys.argv
for pod in ("posts-0", "posts-1"):
    print(f"[pod/{{pod}}/posts] {{{{\\"message\\": \\"[served] by {{pod}}\\"}}}}")
sys.exit({code})
"""


@pytest.mark.parametrize("code", [0, 1])
def test_logs_are_told_by_the_pods_names(
    code: int, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kubectl"
    program.write_text(LOGS.format(python=sys.executable, code=code))
    program.chmod(0o755)
    target, _ = up(tmp_path)
    target.scale("posts", 2, lambda _: None)
    monkeypatch.setattr(kubectl, "find", lambda: str(program))
    lines = target.lines(configured(), ["posts-1"], 5, False)
    assert next(lines) == ("posts-1", '{"message": "[served] by posts-1"}')
    if code:
        with pytest.raises(NotHealthy, match="kubectl logs failed in namespace pulse"):
            next(lines)
    else:
        assert list(lines) == []
    with pytest.raises(ConfigError, match="no component 'nothing'; it has migrate, postgres"):
        next(target.lines(configured(), ["nothing"], 5, False))
