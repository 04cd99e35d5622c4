"""Reading components' logs: their last lines, and what follows."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from pulse_cli.targets.target import Line

POLL_SECONDS = 0.1


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log; none when it is not there."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def tail(logs: Sequence[Path], count: int) -> Iterator[Line]:
    """Yield the last lines of each log, one log after the other."""
    for log in logs:
        for line in last_lines(log, count):
            yield log.stem, line


def follow(logs: Sequence[Path], count: int) -> Iterator[Line]:
    """Yield the last lines of each log, then every new one as it is written, for ever."""
    with ExitStack() as stack:
        followed = {log: _Followed(log, stack) for log in logs}
        for log, file in followed.items():
            for line in file.begin(count):
                yield log.stem, line
        while True:
            quiet = True
            for log, file in followed.items():
                for line in file.new_lines():
                    quiet = False
                    yield log.stem, line
            if quiet:
                time.sleep(POLL_SECONDS)


class _Followed:
    """One log, across its rotation."""

    def __init__(self, log: Path, stack: ExitStack) -> None:
        self._log = log
        self._stack = stack
        self._file: TextIO | None = None
        self._partial = ""

    def begin(self, count: int) -> list[str]:
        lines = deque(self.new_lines(), maxlen=count)
        return list(lines)

    def new_lines(self) -> Iterator[str]:
        if self._file is None or self._rotated(self._file):
            if self._file is not None:
                yield from self._read(self._file)
            self._open()
        if self._file is not None:
            yield from self._read(self._file)

    def _read(self, file: TextIO) -> Iterator[str]:
        for part in file:
            self._partial += part
            if self._partial.endswith("\n"):
                yield self._partial[:-1]
                self._partial = ""

    def _open(self) -> None:
        try:
            file = self._log.open(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return
        self._file = self._stack.enter_context(file)

    def _rotated(self, file: TextIO) -> bool:
        try:
            now = self._log.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        opened = os.fstat(file.fileno())
        return now.st_ino != opened.st_ino or now.st_size < file.tell()
