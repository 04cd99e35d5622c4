"""Where a stack's Unix sockets lie.

A socket's path must fit in 108 bytes (Linux; 104 on macOS), and a project folder may lie
anywhere. So when `.pulse/run` is too long a path, the sockets lie in a private folder below
/tmp whose name follows from the state folder's path, so that every command finds it again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from pulse_cli.errors import Unusable

SOCKET_PATH_LIMIT = 92
"""Bytes: the smallest limit among the platforms, less the `.<pid>` that supervisord adds."""

SUPERVISOR_SOCKET = "supervisor.sock"


def runtime_path(state: Path) -> Path:
    """Return the folder of the sockets of a state folder, without making it."""
    inside = state / "run"
    if len(os.fsencode(inside / SUPERVISOR_SOCKET)) <= SOCKET_PATH_LIMIT:
        return inside
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Path("/tmp") / f"pulse-{os.geteuid()}" / name  # noqa: S108 - its owner is checked


def runtime_folder(state: Path) -> Path:
    """Make the folder of the sockets of a state folder, private to this user.

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
