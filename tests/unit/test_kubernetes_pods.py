"""The pods of a stack: how they are shown, reached, read and made to crash."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pulse_cli import app
from pulse_cli.doctor import Check
from pulse_cli.errors import ConfigError, NotHealthy, PulseError, Unusable
from pulse_cli.targets.kubernetes import crash, forward, kubectl, rollout
from pulse_cli.targets.kubernetes.doctor import examine
from tests.unit.kubectl_support import (
    MANAGED,
    Cluster,
    configured,
    unschedulable,
    up,
)

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
assert {{"--tail=5", "--prefix", "--ignore-errors"}} <= set(sys.argv)
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


def test_a_crash_kills_the_process_and_waits_until_the_cluster_has_noticed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, _ = up(tmp_path)
    assert target.kill("posts-0") <= time.monotonic()
    words = next(words for words in cluster.commands if "exec" in words)[2:]
    assert words[:5] == ["exec", "posts-0", "--container=posts", "--", "/proc/1/exe"]
    assert {one.name: one.restarts for one in target.status()}["posts-0"] == 1
    with pytest.raises(ConfigError, match="the stack has no pod 'posts-7'"):
        target.kill("posts-7")
    monkeypatch.setattr(crash, "NOTICE_SECONDS", 0.0)
    monkeypatch.setattr(Cluster, "_exec", lambda *_: "")
    with pytest.raises(NotHealthy, match=r"posts-0 \(posts-0\) does not die in namespace pulse"):
        target.kill("posts-0")
    cluster.refuses["exec"] = 'Error from server (Forbidden): pods "posts-0" is forbidden: User "x"'
    with pytest.raises(Unusable, match="kubectl may not do this in namespace pulse"):
        target.kill("posts-0")


def test_scaling_ends_when_the_pods_that_end_have_gone(cluster: Cluster, tmp_path: Path) -> None:
    target, _ = up(tmp_path)
    target.scale("posts", 2, lambda _: None)
    cluster.ending = ["posts-x", "posts-y", "posts-z"]
    target.scale("posts", 1, lambda _: None)
    assert cluster.ending == []
    cluster.ending = ["posts-x"] * 9
    with pytest.raises(NotHealthy, match=r"posts-x has not ended in namespace pulse .* after 0 s"):
        rollout.wait_gone(kubectl.Kubectl("fake", "pulse"), f"{rollout.NAME}=posts", 0.0)


def test_down_speaks_of_pods(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    up(tmp_path)
    assert app.run(["-C", str(tmp_path), "down"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "stopped 10 pods"
    assert app.run(["-C", str(tmp_path), "down"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "nothing was running"


def diagnosed(tmp_path: Path, **settings: object) -> dict[str, Check]:
    return {one.name: one for one in examine(configured(**settings), tmp_path / ".pulse")}


def test_the_doctor_looks_at_kubectl_and_at_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    found = diagnosed(tmp_path)
    assert {one.verdict for one in found.values()} == {"ok"}
    assert found["kubectl"].detail == "v1.31.2, kubectl"
    assert found["cluster"].detail == "v1.34.1, context fake"
    cluster.version = "v1.29.9-gke.1"
    cluster.refuses = {"--subresource=exec": "no"}
    cluster.metrics = False
    found = diagnosed(tmp_path, **MANAGED)
    assert found["cluster"].mend == "use 1.30 or later"
    assert found["more rights"].detail == "not allowed: pods/exec (verify failover)"
    assert found["metrics"].verdict == "missing"
    assert found["namespace"].verdict == found["settings"].verdict == "ok"


def test_the_doctor_says_what_keeps_it_from_looking_further(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.contexts = []
    assert "its current context is not set" in diagnosed(tmp_path)["cluster"].detail
    cluster.contexts = ["fake"]
    cluster.refuses = {"/version": "Unable to connect to the server: dial tcp: i/o timeout"}
    found = diagnosed(tmp_path)
    assert set(found) == {"kubectl", "cluster"}
    assert found["cluster"].detail.startswith("the cluster of context fake is out of reach")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {one.name: one.verdict for one in examine(configured(), tmp_path)} == {
        "kubectl": "missing"
    }
