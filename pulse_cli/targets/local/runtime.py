"""Where what needs a short and plain path lies: Supervisor's socket, RabbitMQ's scripts.

A socket's path must fit in 108 bytes (Linux; 104 on macOS), the scripts break on a space, and a
project folder may be called anything. So when `.pulse/run` will not do, they lie in a private
folder below /tmp whose name follows from the state folder's path: every command finds it again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from pulse_cli.errors import Unusable

SOCKET_PATH_LIMIT = 92
"""Bytes: the smallest limit among the platforms, less the `.<pid>` that supervisord adds."""

PLAIN = re.compile(r"[\w./+@:-]+", re.ASCII)
"""A path that a careless shell script reads as one word."""

SUPERVISOR_SOCKET = "supervisor.sock"


def runtime_path(state: Path) -> Path:
    """Return the runtime folder of a state folder, without making it."""
    inside = state / "run"
    short = len(os.fsencode(inside / SUPERVISOR_SOCKET)) <= SOCKET_PATH_LIMIT
    if short and PLAIN.fullmatch(str(inside)):
        return inside
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Path("/tmp") / f"pulse-{os.geteuid()}" / name  # noqa: S108 - its owner is checked


def runtime_folder(state: Path) -> Path:
    """Make the runtime folder of a state folder, private to this user.

    Raises:
        Unusable: when the folder, or the one above it, belongs to somebody else.
    """
    path = runtime_path(state)
    for folder in (path.parent, path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if not private or found.st_mode & 0o022:
            raise Unusable(f"{folder} is not a private folder of this user; remove it")
    return path


def supervisor_socket(state: Path) -> Path:
    """Return the path of supervisord's control socket."""
    return runtime_path(state) / SUPERVISOR_SOCKET
