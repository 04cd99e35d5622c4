"""The Kubernetes target against a cluster that stands for one: starting, changing, stopping."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.kubernetes.package import STACK, stack_id
from tests.unit.kubectl_support import (
    MANAGED,
    Cluster,
    configured,
    up,
)

WORKLOADS = {*SERVICE_NAMES, "gateway"}


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
    assert target.down() == 10  # pods that run
    assert set(cluster.objects) == {("Service", "theirs")}
    assert "namespace pulse of context fake" in capsys.readouterr().err
    count = len(cluster.commands)
    assert target.down() == 0
    assert len(cluster.commands) == count  # without a record no cluster is asked
    with pytest.raises(NotHealthy, match="no stack is running"):
        target.running()


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
