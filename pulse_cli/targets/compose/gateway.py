"""Telling the gateway that the stack's instances have changed, without losing a request.

Envoy follows its files by itself. Kong reads its own again when it is signalled: new workers take
every new connection while the old ones finish what they have.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from pulse_cli.stack.model import Stack
from pulse_cli.targets.compose.engine import Engine, refused
from pulse_cli.targets.local import scaling

DRAIN_SECONDS = 5.0
"""How long Kong's old workers may take; services finish what they are asked before they end."""

POLL_SECONDS = 0.1


def follow(engine: Engine, stack: Stack) -> None:
    """Make the gateway take over the files that were written for it."""
    if stack.gateway.kind == "kong":
        with refused("kong"):
            engine.containers()["kong"].kill(signal="HUP")


def wait_drained(engine: Engine, stack: Stack, instances: Iterable[str]) -> None:
    """Wait until the gateway no longer sends requests to instances such as `posts-1`."""
    if stack.gateway.kind == "envoy":
        scaling.wait_drained(stack, instances)
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    time.sleep(POLL_SECONDS)  # in which the workers are told
    while time.monotonic() < deadline and _old_workers(engine):
        time.sleep(POLL_SECONDS)


def _old_workers(engine: Engine) -> bool:
    info = engine.infos().get("kong")
    if info is None or info.pid is None:
        return False
    with suppress(psutil.Error):
        children = psutil.Process(info.pid).children()
        return any("shutting down" in " ".join(child.cmdline()) for child in children)
    return False
