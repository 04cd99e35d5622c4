"""One command at a time changes a stack."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
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
