"""Changing a stack: one command at a time, and undone when it fails."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pulse_cli.errors import Unusable


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the lock of a stack's `run` folder; the kernel drops it when the holder dies.

    Raises:
        Unusable: another command holds it.
    """
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unusable(
                f"another pulse command (pid {file.read().strip() or 'unknown'}) is changing "
                f"the stack of {run.parent}; wait for it or end it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def undone_on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Run `undo` when the block fails or is interrupted (Ctrl-C, SIGTERM, SIGHUP).

    While it undoes, further signals wait: it is bounded.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    except BaseException:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        undo()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
