"""A gateway with every policy, as the tests of policies run it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pulse_cli.stack.gateway import Gateway, GatewayKind
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets.local.ports import isolated
from tests.connected.gateway_stand import Running, standing

RATE = 20
MAX_BODY = 65_536
TIMEOUT_SECONDS = 3
AWAY: ServiceName = "events"
"""The service that does not run."""


@asynccontextmanager
async def policed(kind: GatewayKind, state: Path) -> AsyncIterator[Running]:
    """Run a gateway, which has nothing to complain of when it ends."""
    policies = Gateway(
        requests_per_second=RATE,
        max_body_bytes=MAX_BODY,
        cors_origins=("http://app.test",),
        deny=("127.9.0.0/16", "198.51.100.0/24"),
        trusted_proxies=("127.8.0.0/16", "192.0.2.0/24"),
        timeout_seconds=TIMEOUT_SECONDS,
    )
    stack = isolated(Stack(gateway=policies))
    async with standing(stack, state, kind, AWAY) as running:
        yield running
    said = (state / "gateway.log").read_text().splitlines()
    # Kong logs as errors that an instance is away or late, which is meant here.
    meant = ("upstream", "attempt to set status 502")
    assert not [one for one in said if "[error]" in one and not any(m in one for m in meant)]
    assert not [line for line in said if "[critical]" in line or "[crit]" in line]
