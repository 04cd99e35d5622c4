"""What the Kubernetes target says when it or the cluster refuses, or something hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, PulseError, Unusable
from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.kubernetes import kubectl, rollout
from pulse_cli.targets.kubernetes.target import Kubernetes
from pulse_cli.targets.progress import StartFailed
from tests.unit.kubectl_support import (
    MANAGED,
    Cluster,
    Document,
    Seen,
    configured,
    unschedulable,
    up,
    waiting,
)


@pytest.mark.parametrize(
    ("workload", "status", "reason"),
    [
        (
            "posts",
            waiting("ImagePullBackOff", 'Back-off pulling image "pulse-services:0"'),
            "posts .* ImagePullBackOff: Back-off pulling image .*; build it from what",
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
    assert cluster.names("Deployment") == {*SERVICE_NAMES, "gateway"}
    assert target.running().target == "kubernetes"


def test_the_last_lines_are_those_from_before_a_crash(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    cluster.held["posts"] = waiting("CrashLoopBackOff", restarts=4)
    assert target.last_lines("posts", 10) == ["Traceback", "KeyError: 'SERVICE_PORT'"]


def test_a_first_start_that_failed_and_was_undone_has_left_its_last_lines(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.held["posts"] = waiting("CrashLoopBackOff", restarts=4)
    target = Kubernetes(tmp_path / ".pulse")
    with pytest.raises(StartFailed):
        target.up(configured(**{"kubernetes.namespace": "else"}), False, Seen().show, Seen().say)
    assert cluster.objects == {}
    assert target.last_lines("posts", 10) == ["Traceback", "KeyError: 'SERVICE_PORT'"]
    assert "--namespace=else" in target.log("posts")


def test_scaling_past_the_database_is_refused_with_the_sum(
    cluster: Cluster, tmp_path: Path
) -> None:
    target, _ = up(tmp_path)
    with pytest.raises(ConfigError, match="posts=16 needs 241 PostgreSQL connections"):
        target.scale("posts", 16, lambda _: None)
    assert cluster.objects["Deployment", "posts"]["spec"]["replicas"] == 1


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
            "error: You must be logged in to the server (Unauthorized)",
            "the cluster of context fake does not accept kubectl's log-in: You must be",
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


def event(kind: str, name: str, reason: str, message: str, **more: str) -> Document:
    return {
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason}"},
        "involvedObject": {"kind": kind, "name": name},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-01-02T03:04:05Z",
        **more,
    }


def test_a_quota_that_lets_a_store_have_no_pod_is_told(cluster: Cluster, tmp_path: Path) -> None:
    said = "create Pod postgres-0 in StatefulSet postgres failed: exceeded quota: small"
    cluster.put(event("StatefulSet", "postgres", "FailedCreate", said))
    cluster.podless.add("postgres")
    with pytest.raises(StartFailed, match=f"postgres did .* its pods are refused: {said}"):
        up(tmp_path)


def test_a_volume_that_nobody_provides_is_told(cluster: Cluster, tmp_path: Path) -> None:
    up(tmp_path)
    unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    cluster.held["redis"] = unschedulable(unbound)
    none = "no persistent volumes available for this claim and no storage class is set"
    claim = "PersistentVolumeClaim"
    cluster.put(event(claim, "data-redis-0", "FailedBinding", none, type="Normal"))
    cluster.put(event("Pod", "redis-0", "FailedScheduling", unbound))
    cluster.put(event("Pod", "posts-0", "Unhealthy", "of something else"))
    there = kubectl.Kubectl("fake", "pulse")
    with pytest.raises(StartFailed, match=rf"unschedulable: .*FailedBinding: {none}$"):
        rollout.wait(there, f"{rollout.NAME}=redis", lambda _: None, 0.0)
