"""The small neighbours of the local target: ports, paths, probes, processes, logs, the lock."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulse_cli.errors import Unusable
from pulse_cli.stack.model import Stack
from pulse_cli.targets import probes
from pulse_cli.targets.changing import locked, undone_on_failure
from pulse_cli.targets.local import logs, ports, processes, runtime
from tests.ports import closed_port


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """A server that reads one message and gives one answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


STARTING_UP = b"SFATAL\0C57P03\0Mthe database system is starting up\0\0"


@pytest.mark.parametrize(
    ("probe", "answer", "expected"),
    [
        (probes.amqp, b"\x01\x00\x00", probes.Answer(True, "AMQP answer b'\\x01'")),
        (probes.amqp, b"", probes.Answer(False, "AMQP answer b''")),
        (probes.redis, b"-NOAUTH Authentication required.\r\n", None),
        (probes.redis, b"+PONG\r\n", probes.Answer(True, "+PONG")),
        (probes.redis, b"-LOADING data\r\n", probes.Answer(False, "-LOADING data")),
        (probes.postgres, b"R\0\0\0\x17\0\0\0\n", probes.Answer(True, "accepts connections")),
        (
            probes.postgres,
            b"E" + struct.pack("!I", 4 + len(STARTING_UP)) + STARTING_UP,
            probes.Answer(False, "the database system is starting up"),
        ),
    ],
)
def test_a_probe_reads_its_protocol(
    probe: Callable[[str, int], probes.Answer], answer: bytes, expected: probes.Answer | None
) -> None:
    with server(answer) as port:
        said = probe("127.0.0.1", port)
    assert said.ready if expected is None else said == expected


def test_a_probe_of_nothing_says_so() -> None:
    with closed_port() as port:
        assert probes.http("127.0.0.1", port, "/") == probes.Answer(False, "connection refused")


def test_an_http_probe_tells_status_and_body() -> None:
    with server(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy") as port:
        said = probes.http("127.0.0.1", port, "/health/ready")
    assert said == probes.Answer(False, "GET /health/ready answered 503 busy")


def test_isolated_ports_are_free_and_keep_everything_else() -> None:
    stack = Stack.model_validate({"services": {"posts": {"port": 8082, "replicas": 3}}})
    moved = ports.isolated(stack)
    assert not set(moved.ports().values()) & set(stack.ports().values())
    assert moved.ports().keys() == stack.ports().keys()
    assert not ports.taken(moved)


def test_a_short_plain_path_keeps_its_sockets_inside(tmp_path: Path) -> None:
    assert runtime.runtime_path(Path("/srv/pulse/.pulse")) == Path("/srv/pulse/.pulse/run")


@pytest.mark.parametrize("folder", ["/srv/a b", "/srv/" + "long" * 40])
def test_a_long_or_odd_path_gets_a_short_one_of_its_own(folder: str) -> None:
    path = runtime.runtime_path(Path(folder) / ".pulse")
    assert path == runtime.runtime_path(Path(folder) / ".pulse")
    assert path != runtime.runtime_path(Path(folder) / "other" / ".pulse")
    assert len(os.fsencode(path / runtime.SUPERVISOR_SOCKET)) <= runtime.SOCKET_PATH_LIMIT
    assert runtime.PLAIN.fullmatch(str(path))


def test_a_runtime_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared" / "mine"
    shared.mkdir(parents=True)
    shared.chmod(0o777)
    monkeypatch.setattr(runtime, "runtime_path", lambda _state: shared)
    with pytest.raises(Unusable, match="not a private folder"):
        runtime.runtime_folder(tmp_path)


@contextmanager
def labelled(state: Path, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the stack that says when it is set up."""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, processes.LABEL: str(state)},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_processes_are_found_by_label_and_stopped(tmp_path: Path) -> None:
    with labelled(tmp_path, "import time; print(flush=True); time.sleep(60)") as child:
        found = processes.find_labelled(tmp_path)
        assert [p.pid for p in found] == [child.pid]
        assert processes.find_labelled(tmp_path / "other") == []
        assert processes.stop(found, 60.0) == []
        assert child.wait(60) == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(flush=True); time.sleep(60)"
    )
    with labelled(tmp_path, program) as child:
        assert processes.stop(processes.find_labelled(tmp_path), 0.2) == []
        assert child.wait(60) == -signal.SIGKILL


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(Unusable, match=f"pid {os.getpid()}"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_what_was_begun_is_undone_on_an_interrupt() -> None:
    undone: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), undone_on_failure(lambda: undone.append("all")):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert undone == ["all"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_last_lines_of_each_log(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    log.write_text("one\ntwo\nthree\n")
    absent = tmp_path / "absent.log"
    assert list(logs.tail([log, absent], 2)) == [("redis", "two"), ("redis", "three")]


def test_following_a_log_survives_its_rotation(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    log.write_text("old\n")
    lines = logs.follow([log], 1)
    assert next(lines) == ("redis", "old")
    with log.open("a") as file:
        file.write("half of ")
        file.flush()
        file.write("a line\n")
    assert next(lines) == ("redis", "half of a line")
    log.rename(tmp_path / "redis.log.1")
    log.write_text("new\n")
    assert next(lines) == ("redis", "new")
