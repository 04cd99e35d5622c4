"""Ports of the loopback interface: one that a server may take, and one where nobody listens."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pulse_cli.targets.local.ports import ISOLATED_PORTS, LOOPBACK, is_free


def free_port() -> int:
    """A port for a server that cannot be told to choose one itself.

    It is none that the kernel gives to clients, so that no connection takes it meanwhile.
    """
    while not is_free(LOOPBACK, port := random.choice(ISOLATED_PORTS)):
        pass
    return port


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take before the end."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        port: int = held.getsockname()[1]
        yield port
