"""The processes in a stack's containers, as this machine sees them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from pulse_cli.stack.load import running_stack
from pulse_cli.targets.compose.engine import connect
from pulse_cli.targets.compose.project import project_name


def in_containers(state: Path) -> list[psutil.Process]:
    """Return the living processes in the containers of a stack; none of a stack without any.

    Raises:
        Unusable: the engine cannot be used.
    """
    stack = running_stack(state)
    if stack is None or stack.target != "compose":
        return []
    found: list[psutil.Process] = []
    for info in connect(project_name(state)).infos().values():
        if info.pid is not None:
            with suppress(psutil.Error):  # it has ended meanwhile
                process = psutil.Process(info.pid)
                found += [process, *process.children(recursive=True)]
    return found
