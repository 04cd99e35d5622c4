"""What a local stack consists of: each component, what must be ready before it, its probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pulse_cli.stack.model import SERVICE_NAMES, Stack
from pulse_cli.targets import probes

Kind = Literal["store", "broker", "job", "service", "gateway", "observer"]

MIGRATE = "migrate"
OPENAPI = "openapi"
GATEWAY = "envoy"
POSTGRES = "postgres"
REPLICA = "postgres-replica"
STORES = (POSTGRES, REPLICA, "redis", "rabbitmq", "epmd")


@dataclass(frozen=True)
class Component:
    """One process of a stack, under the name that Supervisor knows it by."""

    name: str
    kind: Kind
    port: int | None
    after: tuple[str, ...] = ()
    """What must be ready before it is started."""
    probe: Callable[[], probes.Answer] | None = field(default=None, compare=False)
    """Whether it is ready; a job has none, it is done when it ends with 0."""
    settles: tuple[str, ...] = ()
    """What must be ready before its probe can say yes, though it starts earlier."""


def plan(stack: Stack) -> tuple[Component, ...]:
    """Return the components of a stack, the slowest to start first."""
    epmd, broker = stack.rabbitmq.epmd_port, stack.rabbitmq
    database, redis, gateway = stack.postgres, stack.redis, stack.gateway
    instances = tuple(
        _instance(stack.instance_port(name, index), f"{name}-{index}")
        for name in SERVICE_NAMES
        for index in range(stack.services[name].replicas)
    )
    return (
        Component("epmd", "broker", epmd, probe=lambda: probes.tcp("127.0.0.1", epmd)),
        Component(
            "rabbitmq",
            "broker",
            broker.port,
            after=("epmd",),
            probe=lambda: probes.amqp(broker.host, broker.port),
        ),
        Component(
            POSTGRES,
            "store",
            database.port,
            probe=lambda: probes.postgres(database.host, database.port),
        ),
        *_replica(stack),
        Component("redis", "store", redis.port, probe=lambda: probes.redis(redis.host, redis.port)),
        Component(MIGRATE, "job", None, after=(POSTGRES,)),
        Component(OPENAPI, "job", None),
        *instances,
        Component(
            GATEWAY,
            "gateway",
            gateway.port,
            after=(OPENAPI,),  # it reads what the job writes when it starts
            probe=lambda: probes.routes(reachable(gateway.host), gateway.port, SERVICE_NAMES),
            settles=tuple(instance.name for instance in instances),
        ),
    )


def reachable(host: str) -> str:
    """Return the address to reach a server that listens on `host` (0.0.0.0 means all)."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no server here


def _replica(stack: Stack) -> tuple[Component, ...]:
    """The standby; nothing waits for it but the end of the start."""
    database = stack.postgres
    if not database.replica:
        return ()
    return (
        Component(
            REPLICA,
            "store",
            database.replica_port,
            after=(MIGRATE,),  # which makes the role that it follows the server by
            probe=lambda: probes.postgres(database.host, database.replica_port),
        ),
    )


def _instance(port: int, name: str) -> Component:
    return Component(
        name,
        "service",
        port,
        after=(MIGRATE, "redis"),
        probe=lambda: probes.http("127.0.0.1", port, "/health/ready"),
    )
