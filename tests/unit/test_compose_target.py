"""The compose target without an engine: what is wrong with one, and what is told of containers."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from pulse_cli.doctor import examine
from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, PulseError, Unusable
from pulse_cli.render.gateway import REDIS_PASSWORD, TOKEN_KEY, TOKEN_KEY_BASE64
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import ensure_secrets
from pulse_cli.targets.compose import engine as engines
from pulse_cli.targets.compose import gateway, image, logs, network
from pulse_cli.targets.compose.engine import Engine, connect, refused
from pulse_cli.targets.compose.plan import plan
from pulse_cli.targets.compose.project import OWNER, Project, project_name, user_of
from pulse_cli.targets.compose.target import Compose
from tests.conftest import pulse

NEVER = "0001-01-01T00:00:00Z"


def container(name: str, status: str, **state: object) -> Any:
    values: dict[str, object] = {
        "Status": status,
        "StartedAt": "2026-01-02T03:04:05.678901234Z",
        "Pid": 7 if status == "running" else 0,
        "ExitCode": 0,
        **state,
    }
    restarts = values.pop("RestartCount", 0)
    attributes = {"State": values, "RestartCount": restarts}
    return SimpleNamespace(
        name=name, labels={engines.COMPONENT_LABEL: name}, attrs=attributes, status=status
    )


class FakeClient:
    """As much of Docker's SDK as the target uses."""

    def __init__(self, *containers: Any, networks: tuple[Any, ...] = ()) -> None:
        self.containers = SimpleNamespace(list=lambda **_: list(containers))
        self.networks = SimpleNamespace(list=self._networks)
        self.images = SimpleNamespace(get=self._image)
        self.all_networks = networks
        self.here: dict[str, dict[str, str]] = {}
        self.api = SimpleNamespace(pull=self._pull)

    def _networks(self, filters: dict[str, str] | None = None) -> list[Any]:
        return [one for one in self.all_networks if filters is None or one.own]

    def _image(self, name: str) -> Any:
        if name not in self.here:
            raise ImageNotFound(f"no such image: {name}")
        return SimpleNamespace(labels=self.here[name])

    def _pull(self, *_: object, **__: object) -> list[dict[str, str]]:
        return [{"status": "Pulling"}, {"error": "manifest unknown"}]


def engine(*containers: Any, networks: tuple[Any, ...] = ()) -> Engine:
    client = FakeClient(*containers, networks=networks)
    return Engine(cast("docker.DockerClient", client), "unix:///nowhere", "pulse-test")


def docker_network(name: str, subnet: str, own: bool = False) -> Any:
    attributes = {"IPAM": {"Config": [{"Subnet": subnet}]}}
    return SimpleNamespace(id=f"{name:0<12}", name=name, own=own, attrs=attributes)


@pytest.mark.parametrize(
    ("host", "kind", "said"),
    [
        ("tcp://10.0.0.1:2375", Unusable, "no engine of this machine"),
        ("ssh://somebody@elsewhere", Unusable, "no engine of this machine"),
        ("unix:///nonexistent/docker.sock", PulseError, "install"),
    ],
)
def test_an_engine_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, host: str, kind: type[PulseError], said: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(kind, match=said):
        connect("pulse-test")


def test_a_machine_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr(engines, "which", lambda *_, **__: None)
    with pytest.raises(MissingComponent, match="needs Docker: install it"):
        connect("pulse-test")


def test_an_engine_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(Unusable, match=r"no Docker Engine runs here .*refused.*start it"):
        connect("pulse-test")


def test_an_engine_that_this_user_may_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    with pytest.raises(Unusable, match=r"may not use the Docker Engine.*usermod -aG docker"):
        connect("pulse-test")


@pytest.mark.parametrize(
    ("explanation", "kind", "said"),
    [
        (
            "driver failed: Bind for 127.0.0.1:8082 failed: port is already allocated",
            Unusable,
            "posts-0: 127.0.0.1:8082 is taken",
        ),
        (
            "listen tcp4 127.0.0.1:8082: bind: address already in use",
            Unusable,
            "posts-0: 127.0.0.1:8082: is taken|posts-0: 127.0.0.1:8082 is taken",
        ),
        ("range of CPUs is from 0.01 to 2.00", Unusable, "engine refused: range of CPUs|refused"),
    ],
)
def test_what_the_engine_refuses(explanation: str, kind: type[PulseError], said: str) -> None:
    with pytest.raises(kind, match=said), refused("posts-0"):
        raise APIError("500", explanation=explanation)


def test_states_are_told_in_the_words_of_the_start() -> None:
    infos = engine(
        container("a", "running"),
        container("b", "exited", ExitCode=3),
        container("c", "created", StartedAt=NEVER),
        container("d", "restarting", ExitCode=1, RestartCount=1),
        container("e", "restarting", ExitCode=1, RestartCount=3),
        container("f", "exited", ExitCode=137, OOMKilled=True),
    ).infos()
    states = {name: info.state for name, info in infos.items()}
    assert states == {
        "a": "RUNNING",
        "b": "EXITED",
        "c": "STOPPED",
        "d": "BACKOFF",
        "e": "FATAL",
        "f": "EXITED",
    }
    assert (infos["a"].pid, infos["b"].pid) == (7, None)
    assert infos["a"].started == 1767323045
    assert infos["c"].started == 0
    assert infos["b"].exit_status == 3
    assert infos["e"].reason == "it ended with 1 each time"
    assert infos["f"].reason == "it used more memory than it may"


def test_a_network_that_overlaps_is_named_and_another_one_found() -> None:
    other = docker_network("other", "10.213.0.0/23")
    with pytest.raises(Unusable, match=r"10.213.0.0/24 overlaps 10.213.0.0/23 of docker"):
        network.refuse_taken(Stack(), engine(networks=(other,)))
    network.refuse_taken(Stack(), engine(networks=(docker_network("own", "10.213.0.0/24", True),)))
    found = network.isolated(Stack(), engine(networks=(other,))).compose
    assert not found.subnet.overlaps(IPv4Network("10.213.0.0/23"))
    assert found.subnet.subnet_of(network.ISOLATED)
    assert len({found.prometheus_port, found.grafana_port, found.jaeger_port}) == 3
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        values = {"observability": True, "grafana_port": holder.getsockname()[1]}
        with pytest.raises(Unusable, match=r"grafana.*is taken; set another as compose.grafana_p"):
            network.refuse_taken(Stack.model_validate({"compose": values}), engine())
    full = docker_network("full", "10.213.0.0/16")
    with pytest.raises(Unusable, match="docker network prune"):
        network.isolated(Stack(), engine(networks=(full,)))


def test_an_image_that_cannot_be_had_is_named_with_its_setting(tmp_path: Path) -> None:
    project = Project(tmp_path / ".pulse", "unix:///nowhere", "1:1")
    with pytest.raises(MissingComponent, match=r"postgres:16.*manifest unknown.*images\.postgres"):
        image.ensure(engine(), project, Stack(), "digest", print)


def test_a_registry_out_of_reach_is_told_with_the_setting(tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise APIError("500", explanation="lookup registry.example.org: no such host")

    some = engine()
    cast("FakeClient", some.client).api = SimpleNamespace(pull=unreachable)
    project = Project(tmp_path / ".pulse", "unix:///nowhere", "1:1")
    with pytest.raises(MissingComponent, match=r"no such host.*images\.postgres"):
        image.ensure(some, project, Stack(), "digest", print)


def test_an_image_is_built_again_only_from_something_else(tmp_path: Path) -> None:
    class Built(Project):
        def build(self) -> None:
            builds.append("built")

    builds: list[str] = []
    project = Built(tmp_path / ".pulse", "unix:///nowhere", "1:1")
    stack = Stack()
    some = engine()
    client = cast("FakeClient", some.client)
    client.here = {stack.images[name]: {} for name in ("postgres", "redis", "rabbitmq", "kong")}
    client.here[stack.images.base] = {}
    client.here[stack.images.services] = {image.CONTENT_LABEL: "one"}
    assert not image.ensure(some, project, stack, "one", print)
    assert builds == []
    assert image.ensure(some, project, stack, "two", print)
    assert builds == ["built"]


def test_a_project_is_found_again_by_its_folder_alone(tmp_path: Path) -> None:
    name = project_name(tmp_path / "My Project!" / ".pulse")
    assert name.startswith("pulse-my-project-")
    assert name == project_name(tmp_path / "My Project!" / ".pulse")
    assert name != project_name(tmp_path / "my project" / ".pulse")
    assert project_name(Path("/.pulse")).count("-") == 1


def test_containers_run_as_whom_the_files_belong_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert user_of(rootless=False) == f"{OWNER}:{OWNER}"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    assert user_of(rootless=False) == "1000:100"
    assert user_of(rootless=True) == "0:0"


def test_files_are_private_where_they_hold_secrets(tmp_path: Path) -> None:
    state = tmp_path / ".pulse"
    state.mkdir()
    user = f"{os.geteuid()}:{os.getegid()}"
    for kind, config in (("kong", "kong.yml"), ("envoy", "envoy.json")):
        stack = Stack.model_validate({"target": "compose", "gateway": {"kind": kind}})
        secrets = ensure_secrets(state)
        Project(state, "unix:///nowhere", user).write(stack, secrets, "digest")
        assert (state / "compose" / "config" / "gateway" / config).exists()
    for file in (state / "compose" / "config").rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    key = secrets.get("gateway", "token_key")
    public = [f for f in (state / "compose").rglob("*") if f.is_file() and "config" not in f.parts]
    assert public
    assert not [file for file in public if key in file.read_text()]
    kong = (state / "compose" / "config" / "gateway" / "kong.yml").read_text()
    assert not [one for one in (TOKEN_KEY, TOKEN_KEY_BASE64, REDIS_PASSWORD) if one in kong]
    assert f"PULSE_USER={user}" in (state / ".env").read_text()


def test_what_an_image_is_built_from_has_a_digest(tmp_path: Path) -> None:
    state = tmp_path / ".pulse"
    project = Project(state, "unix:///nowhere", "1:1")
    first = project.write_context(Stack())
    assert first == project.write_context(Stack())
    stale = state / "docker" / "app" / "services" / "stale.py"
    stale.write_text("")
    other = Stack.model_validate({"images": {"base": "debian:12"}})
    assert project.write_context(other) != first
    assert not stale.exists()
    offline = Stack.model_validate({"compose": {"wheels": "wheels"}})
    with pytest.raises(Unusable, match="there are no wheels in"):
        project.write_context(offline)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "some-1-py3-none-any.whl").write_bytes(b"wheel")
    assert project.write_context(offline) != first
    assert (state / "docker" / "wheels" / "some-1-py3-none-any.whl").read_bytes() == b"wheel"


def test_docker_compose_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, "unix:///nowhere", "1:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="needs the docker command"):
        project.check()
    tool = tmp_path / "docker"
    tool.write_text("#!/bin/sh\necho unknown command >&2\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(MissingComponent, match=r"docker compose, version 2.*install"):
        project.check()
    tool.write_text("#!/bin/sh\necho 2.26.1-4\n")
    project.check()


def test_what_docker_compose_says_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    tool = tmp_path / "docker"
    tool.write_text("#!/bin/sh\necho beginning\necho 'no such service: redis' >&2\nexit 17\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Unusable, match="docker compose create failed: no such service: redis"):
        Project(tmp_path, "unix:///nowhere", "1:1").create()
    assert "beginning" in (tmp_path / "logs" / "compose.log").read_text()


def test_every_container_has_a_place_in_the_order_of_the_start() -> None:
    stack = Stack.model_validate({"compose": {"observability": True}})
    components = {one.name: one for one in plan(stack)}
    assert components["kong"].after == ("openapi",)
    assert components["posts-0"].after == ("migrate", "redis")
    assert {"prometheus", "grafana", "jaeger"} <= components.keys()
    assert "prometheus" not in {one.name for one in plan(Stack())}


def test_logs_come_in_whole_lines(tmp_path: Path) -> None:
    assert list(logs._whole([b"one\ntw", b"o\r\n", b"rest"])) == ["one", "two", "rest"]
    (tmp_path / "logs").mkdir()
    logs.saved(tmp_path, "posts-0").write_text("kept\n")
    assert logs.last_lines(engine(), tmp_path, "posts-0", 5) == ["kept"]


@contextmanager
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        yield


def test_down_without_an_engine_is_well_unless_containers_should_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ".pulse"
    with no_engine(monkeypatch, tmp_path):
        assert Compose(state).down() == 0
        (state / "run").mkdir(parents=True)
        stack = Stack.model_validate({"target": "compose"})
        (state / "run" / "stack.json").write_text(stack.model_dump_json())
        with pytest.raises((MissingComponent, Unusable)):
            Compose(state).down()


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    with pytest.raises(NotHealthy, match="no stack is running"):
        Compose(tmp_path / ".pulse").running()


def test_a_target_that_cannot_be_had_is_never_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    refused = pulse(tmp_path, "up", "--target", "compose")
    assert refused.returncode in {5, 7}
    assert len(refused.stderr.strip().splitlines()) == 1
    assert refused.stdout == ""
    assert not (tmp_path / ".pulse" / "run" / "stack.json").exists()
    unknown = pulse(tmp_path, "up", "--target", "swarm")
    assert unknown.returncode == 2
    assert "compose" in unknown.stderr


def test_the_doctor_says_what_is_wrong_with_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    found = examine(Stack.model_validate({"target": "compose"}), tmp_path / ".pulse")
    assert [(one.name, one.verdict) for one in found] == [("docker engine", "unusable")]
    assert "no engine of this machine" in found[0].detail


def test_a_read_replica_is_refused() -> None:
    from pulse_cli.targets.compose.target import _refuse_unsupported

    with pytest.raises(ConfigError, match=r"postgres\.replica"):
        _refuse_unsupported(Stack.model_validate({"postgres": {"replica": True}}))


def test_kong_that_does_not_run_cannot_be_told_of_instances(tmp_path: Path) -> None:
    (tmp_path / "compose" / "config" / "gateway").mkdir(parents=True)
    (tmp_path / "compose" / "config" / "gateway" / "kong.yml").write_text("")
    with pytest.raises(NotHealthy, match="kong does not run"):
        gateway.follow(engine(container("kong", "exited")), Stack(), tmp_path)
    envoy = Stack.model_validate({"gateway": {"kind": "envoy"}})
    gateway.follow(engine(), envoy, tmp_path)  # it follows its files by itself
