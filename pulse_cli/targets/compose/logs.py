"""Containers' logs, as the engine has them; once they are removed, what was kept of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

from pulse_cli.files import write_private
from pulse_cli.targets.compose.engine import Engine, refused
from pulse_cli.targets.local import logs
from pulse_cli.targets.target import Line

if TYPE_CHECKING:
    from docker.models.containers import Container

KEPT_LINES = 1000
"""Of each container that is removed."""

POLL_SECONDS = 0.5


def saved(state: Path, name: str) -> Path:
    """Return the file in which the last lines of a removed container are kept."""
    return state / "logs" / f"{name}.log"


def save(state: Path, name: str, container: Container) -> None:
    """Keep the last lines of a container that is about to be removed."""
    lines = _lines(container, KEPT_LINES)
    if lines:
        write_private(saved(state, name), "".join(f"{line}\n" for line in lines))


def last_lines(engine: Engine, state: Path, name: str, count: int) -> list[str]:
    """Return the last lines of a component, also of one that was removed."""
    container = engine.containers().get(name)
    found = _lines(container, count) if container is not None else []
    return found or logs.last_lines(saved(state, name), count)


def tail(engine: Engine, state: Path, names: Sequence[str], count: int) -> Iterator[Line]:
    """Yield the last lines of each component, one after the other."""
    for name in names:
        for line in last_lines(engine, state, name, count):
            yield name, line


def follow(engine: Engine, names: Sequence[str], count: int) -> Iterator[Line]:
    """Yield the last lines of each component, then every new one as it is written, for ever."""
    found: Queue[Line] = Queue()
    for name in names:
        Thread(target=_follow, args=(engine, name, count, found), daemon=True).start()
    while True:
        yield found.get()


def _follow(engine: Engine, name: str, count: int, into: Queue[Line]) -> None:
    """Put a component's lines into a queue, also when it is started again or made anew."""
    tail: int | None = count
    since: float | None = None
    while True:
        container = engine.containers().get(name)
        if container is not None and container.status == "running":
            arguments = {"tail": tail} if tail is not None else {"since": since}
            since = time.time()
            with refused(name):
                stream = container.logs(stream=True, follow=True, **arguments)
                for line in _whole(stream):
                    into.put((name, line))
            tail = None
        time.sleep(POLL_SECONDS)


def _lines(container: Container, count: int) -> list[str]:
    with refused(str(container.name)):
        return [*_whole([container.logs(tail=count)])]


def _whole(parts: Iterable[bytes]) -> Iterator[str]:
    """Yield whole lines of what comes in parts."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")
