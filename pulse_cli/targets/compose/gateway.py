"""Telling the gateway that the stack's instances have changed, without losing a request.

Envoy follows its files by itself. Kong is given its file anew through its admin interface, which
is a socket inside its container.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import httpx

from pulse_cli.errors import NotHealthy
from pulse_cli.render.compose import KONG_SOCKET
from pulse_cli.render.gateway import in_compose
from pulse_cli.render.kong import CONFIG
from pulse_cli.stack.model import Stack
from pulse_cli.targets.compose.engine import Engine
from pulse_cli.targets.local import scaling

DRAIN_SECONDS = 5.0
"""How long Kong may go on sending requests to an instance that it was told is gone."""

KONG_SECONDS = 15.0
POLL_SECONDS = 0.1


def follow(engine: Engine, stack: Stack, state: Path) -> None:
    """Make the gateway take over the files that were written for it.

    Raises:
        NotHealthy: Kong does not run, or refuses its configuration.
    """
    if stack.gateway.kind != "kong":
        return
    config = (state / "compose" / "config" / "gateway" / CONFIG).read_bytes()
    with _kong(engine) as kong:
        try:
            answer = kong.post("/config", files={"config": (CONFIG, config)})
        except httpx.TransportError as error:
            raise NotHealthy(f"kong cannot be told of the instances: {error}") from None
    if answer.status_code != httpx.codes.CREATED:
        raise NotHealthy(f"kong refused its configuration: {answer.text[:300]}")


def wait_given_out(stack: Stack, instances: Iterable[str]) -> None:
    """Wait until the gateway sends requests to instances such as `posts-1`; Kong does at once."""
    if stack.gateway.kind == "envoy":
        scaling.wait_given_out(stack, instances)


def wait_drained(engine: Engine, stack: Stack, instances: Iterable[str]) -> None:
    """Wait until the gateway no longer sends requests to instances such as `posts-1`."""
    if stack.gateway.kind == "envoy":
        scaling.wait_drained(stack, instances)
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    known = in_compose(stack).instances
    with _kong(engine) as kong:
        for name in instances:
            service, _, index = name.rpartition("-")
            place = next(found for owner, found in known.items() if owner == service)[int(index)]
            while time.monotonic() < deadline and _sends(kong, service, f"{place[0]}:{place[1]}"):
                time.sleep(POLL_SECONDS)


def _sends(kong: httpx.Client, service: str, address: str) -> bool:
    try:
        return address in kong.get(f"/upstreams/{service}.instances/health").text
    except httpx.TransportError:
        return False


def _kong(engine: Engine) -> httpx.Client:
    info = engine.infos().get("kong")
    if info is None or info.pid is None:
        raise NotHealthy("kong does not run; see: pulse status")
    # The container's own root, which only root and whoever it runs as may look into.
    transport = httpx.HTTPTransport(uds=f"/proc/{info.pid}/root{KONG_SOCKET}")
    return httpx.Client(transport=transport, base_url="http://kong", timeout=KONG_SECONDS)
