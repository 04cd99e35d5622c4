"""Supervisor: starting it detached, and talking to it over its private socket."""

from __future__ import annotations

import os
import re
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from pulse_cli.errors import NotHealthy
from pulse_cli.targets.local.processes import LABEL

START_SECONDS = 10.0
POLL_SECONDS = 0.02
RPC_SECONDS = 2.0
"""How long a call may take; a supervisord that was stopped (SIGSTOP) never answers."""

RUNNING = {"RUNNING", "STARTING"}
ACTIVE = {*RUNNING, "BACKOFF"}
ENDED = {"STOPPED", "EXITED", "FATAL"}
LOG_NAME = "supervisord.log"


@dataclass(frozen=True)
class Info:
    """What Supervisor knows of one process."""

    name: str
    state: str
    pid: int | None
    started: int
    """Unix time of its last start; 0 when it never ran."""
    now: int
    exit_status: int
    reason: str

    @property
    def ended_well(self) -> bool:
        """Whether it ended with exit status 0."""
        return self.state == "EXITED" and self.exit_status == 0


class Supervisor:
    """The supervisord of one state folder; calls raise `NotHealthy` when it does not answer."""

    def __init__(self, state: Path, socket: Path) -> None:
        self.state = state
        self.socket = socket
        self.log = state / "logs" / LOG_NAME

    def start(self, python: Path, config: Path) -> None:
        """Start supervisord in a session of its own and wait until it answers.

        It inherits no descriptor of the caller, so that a pipe from `pulse up` ends with it.

        Raises:
            NotHealthy: when it ends or does not answer in time.
        """
        self.socket.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)  # restarts are counted in it
        output = self.state / "logs" / "supervisord.out"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [str(python), "-m", "supervisor.supervisord", "-n", "-s", "-c", str(config)],
                cwd=self.state,
                env={**os.environ, LABEL: str(self.state)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                umask=0o077,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = output.read_text(errors="replace").strip().splitlines()
                raise NotHealthy(f"supervisord did not start: {said[0] if said else 'no word'}")
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        """Whether a supervisord is there and runs."""
        try:
            with self._rpc() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except NotHealthy:
            return False

    def infos(self) -> dict[str, Info]:
        """Return what Supervisor knows of its processes, by name."""
        with self._rpc() as rpc:
            return {
                item["name"]: Info(
                    name=item["name"],
                    state=item["statename"],
                    pid=item["pid"] or None,
                    started=item["start"],
                    now=item["now"],
                    exit_status=item["exitstatus"],
                    reason=item["spawnerr"] or item["description"],
                )
                for item in rpc.getAllProcessInfo()
            }

    def run(self, name: str) -> None:
        """Start a process and do not wait; one that already runs is left alone."""
        with self._rpc() as rpc, _ignoring("ALREADY_STARTED"):
            rpc.startProcess(name, False)

    def stop(self, name: str) -> None:
        """Ask a process to stop and do not wait."""
        with self._rpc() as rpc, _ignoring("NOT_RUNNING", "BAD_NAME"):
            rpc.stopProcess(name, False)

    def shut_down(self) -> None:
        """Ask supervisord to stop everything and itself; do not wait."""
        with self._rpc() as rpc, _ignoring("SHUTDOWN_STATE"):
            rpc.shutdown()

    def reread(self) -> set[str]:
        """Read the configuration again; return the names whose known programs it changed."""
        with self._rpc() as rpc:
            ((_added, changed, _removed),) = rpc.reloadConfig()
        return set(changed)

    def add(self, name: str) -> None:
        """Take a newly configured process over, without starting it."""
        with self._rpc() as rpc, _ignoring("ALREADY_ADDED"):
            rpc.addProcessGroup(name)

    def remove(self, name: str) -> None:
        """Forget a stopped process."""
        with self._rpc() as rpc, _ignoring("BAD_NAME"):
            rpc.removeProcessGroup(name)

    def restarts(self) -> dict[str, int]:
        """Return how often each process was started again since supervisord began."""
        try:
            log = self.log.read_text(errors="replace")
        except OSError:
            return {}
        counts: dict[str, int] = {}
        for name in re.findall(r"spawned: '([^']+)' with pid", log):
            counts[name] = counts.get(name, -1) + 1
        return counts

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        transport = _Transport(self.socket)
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            yield proxy.supervisor
        except (OSError, HTTPException, xmlrpc.client.ProtocolError) as error:
            raise NotHealthy(f"Supervisor does not answer ({error}); its log: {self.log}") from None
        finally:
            transport.close()


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]  # untyped library
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(RPC_SECONDS)


class _Transport(SupervisorTransport):  # type: ignore[misc]  # untyped library
    def __init__(self, socket: Path) -> None:
        super().__init__(serverurl=f"unix://{socket}")
        self._get_connection = self._bounded
        self._socket = socket

    def _bounded(self) -> _Connection:
        connection = _Connection("localhost")
        connection.socketfile = str(self._socket)
        return connection


@contextmanager
def _ignoring(*names: str) -> Iterator[None]:
    """Let the named faults of Supervisor pass: the thing asked for is already so."""
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if not str(fault.faultString).startswith(names):
            raise
