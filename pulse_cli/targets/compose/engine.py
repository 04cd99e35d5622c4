"""The Docker Engine of this machine: reaching it, and the containers of one project on it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pulse_cli.errors import MissingComponent, NotHealthy, Unusable
from pulse_cli.programs import SYSTEM_PATH
from pulse_cli.targets.bringup import ATTEMPTS
from pulse_cli.targets.local.supervisor import Info

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

DEFAULT_HOST = "unix:///var/run/docker.sock"
API_SECONDS = 30
STARTS_AT_ONCE = 4
INSTALL = "https://docs.docker.com/engine/install, or on Debian: apt-get install docker.io"

PROJECT_LABEL = "com.docker.compose.project"
COMPONENT_LABEL = "com.docker.compose.service"

STATES = {
    "created": "STOPPED",
    "running": "RUNNING",
    "paused": "STOPPED",
    "restarting": "BACKOFF",
    "removing": "EXITED",
    "exited": "EXITED",
    "dead": "FATAL",
}
"""The engine's names of states, in the words that the start of components knows."""


class Engine:
    """The containers of one project on this machine's engine."""

    def __init__(self, client: DockerClient, host: str, project: str) -> None:
        self.client = client
        self.host = host
        self.project = project

    def containers(self) -> dict[str, Container]:
        """Return the project's containers, running or not, by component."""
        with refused():
            found = self.client.containers.list(
                all=True, filters={"label": f"{PROJECT_LABEL}={self.project}"}, ignore_removed=True
            )
        return {str(one.labels.get(COMPONENT_LABEL, one.name)): one for one in found}

    def infos(self) -> dict[str, Info]:
        """Return what the engine knows of each container, by component."""
        return {name: known(name, one) for name, one in self.containers().items()}

    @contextmanager
    def starting(self) -> Iterator[Starting]:
        """Yield what starts containers, several at once: the engine takes its time for each."""
        with ThreadPoolExecutor(STARTS_AT_ONCE, thread_name_prefix="start") as pool:
            yield Starting(self, pool)

    def networks(self) -> list[Any]:
        """Return the project's networks."""
        with refused():
            return list(
                self.client.networks.list(filters={"label": f"{PROJECT_LABEL}={self.project}"})
            )

    @property
    def rootless(self) -> bool:
        """Whether the engine runs as this user, who is root in its containers."""
        with refused():
            options = self.client.info().get("SecurityOptions") or ()
        return any("rootless" in option for option in options)


class Starting:
    """Starts containers without waiting for the engine to have done so."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._pool = pool
        self._pending: dict[str, Future[None]] = {}

    def infos(self) -> dict[str, Info]:
        """Return what is known of each container; raise what went wrong in starting one."""
        infos = self._engine.infos()
        for name, start in list(self._pending.items()):
            if name in infos and not start.done():
                infos[name] = replace(infos[name], state="STARTING", pid=None)
            elif start.done():
                start.result()
                if name in infos and infos[name].state == "STOPPED":  # it was asked before
                    infos[name] = replace(infos[name], state="STARTING")
                del self._pending[name]
        return infos

    def run(self, name: str) -> None:
        """Start a container and do not wait; one that already runs is left alone."""
        self._pending[name] = self._pool.submit(self._start, name)

    def _start(self, name: str) -> None:
        with refused(name):
            self._engine.containers()[name].start()


def connect(project: str) -> Engine:
    """Return the engine that `docker` itself would use, asked whether it answers.

    Raises:
        MissingComponent: neither engine nor SDK is on this machine.
        Unusable: it does not run, this user may not use it, or it is another machine's.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        raise MissingComponent(
            "the compose target needs the Docker SDK: pip install 'pulse-platform[compose]'"
        ) from None
    host = engine_host()
    path = _socket(host)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(API_SECONDS)
            probe.connect(str(path))
        client = docker.DockerClient(base_url=host, timeout=API_SECONDS, version="auto")
    except OSError as error:
        raise _unreachable(path, error) from None
    except DockerException as error:
        raise Unusable(f"what answers at {path} is no Docker Engine: {error}") from None
    return Engine(client, host, project)


def engine_host() -> str:
    """Return the address of the engine: `DOCKER_HOST`, else the current context's."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    from docker.context import ContextAPI

    with suppress(Exception):  # a broken context is docker's own to complain about
        context = ContextAPI.get_current_context()
        if context is not None and context.Host:
            return str(context.Host).replace("http+unix://", "unix://")
    return DEFAULT_HOST


def seems_installed() -> bool:
    """Whether there may be an engine at all, at next to no cost."""
    return bool(os.environ.get("DOCKER_HOST")) or Path(urlsplit(DEFAULT_HOST).path).exists()


@contextmanager
def refused(name: str = "") -> Iterator[None]:
    """Say what the engine refuses in one sentence, with the component that it is about."""
    from docker.errors import APIError, DockerException, NotFound
    from requests.exceptions import RequestException

    about = f"{name}: " if name else ""
    try:
        yield
    except NotFound as error:
        raise NotHealthy(f"{about}it is gone ({error.explanation}); see: pulse status") from None
    except APIError as error:
        said = str(error.explanation or error).strip()
        if taken := re.search(r"(?:Bind for |listen tcp\d? )(\S+:\d+).*(?:in use|allocated)", said):
            raise Unusable(
                f"{about}{taken[1]} is taken; stop its holder, set another port in pulse.toml, "
                "or use --isolated"
            ) from None
        raise Unusable(f"{about}the Docker Engine refused: {said}") from None
    except (DockerException, RequestException) as error:
        raise NotHealthy(f"{about}the Docker Engine does not answer: {error}") from None


def _socket(host: str) -> Path:
    address = urlsplit(host)
    if address.scheme != "unix":
        raise Unusable(
            f"DOCKER_HOST or docker's context is {host}, which is no engine of this machine, and "
            "the stack's ports and files would be another's; unset it, or: docker context use "
            "default"
        )
    return Path(address.path)


def _unreachable(path: Path, error: OSError) -> MissingComponent | Unusable:
    if isinstance(error, PermissionError):
        return Unusable(
            f"this user may not use the Docker Engine ({path}: permission denied); become a "
            "member of its group: usermod -aG docker USER, and log in again"
        )
    if which("docker") is None and which("dockerd", path=SYSTEM_PATH) is None:
        return MissingComponent(f"the compose target needs Docker: install it ({INSTALL})")
    return Unusable(
        f"no Docker Engine runs here ({path}: {error.strerror or error}); start it (systemctl "
        f"start docker, or Docker Desktop) or install it ({INSTALL})"
    )


def known(name: str, container: Container) -> Info:
    """Return what the engine knew of a component's container when it was listed."""
    state = container.attrs["State"]
    word = STATES.get(state["Status"], "FATAL")
    reason = state.get("Error") or f"it is {state['Status']}"
    if word == "BACKOFF":
        reason = f"it ended with {state['ExitCode']} each time"
        if container.attrs["RestartCount"] >= ATTEMPTS:
            word = "FATAL"
    started = _seconds(state["StartedAt"])
    if state.get("OOMKilled"):
        reason = "it used more memory than it may"
    return Info(
        name=name,
        state=word,
        pid=state["Pid"] or None,
        started=started,
        now=int(datetime.now().timestamp()),
        exit_status=state["ExitCode"],
        reason=reason,
    )


def _seconds(text: str) -> int:
    """Return the engine's time (with nanoseconds) as Unix time; 0 when it never was."""
    if text.startswith("0001"):
        return 0
    return int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
