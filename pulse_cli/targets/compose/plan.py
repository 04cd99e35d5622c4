"""What a compose stack consists of: each container, what must be ready before it, its probe."""

from __future__ import annotations

from pulse_cli.stack.model import SERVICE_NAMES, Stack
from pulse_cli.targets import probes
from pulse_cli.targets.local.plan import MIGRATE, OPENAPI, POSTGRES, Component, Kind, reachable

STORES = (POSTGRES, "redis", "rabbitmq")

LOOPBACK = "127.0.0.1"


def plan(stack: Stack) -> tuple[Component, ...]:
    """Return the containers of a stack, the slowest to start first.

    Each is asked through the port that it has on this machine, as everybody else does.
    """
    database, redis, broker, gateway = stack.postgres, stack.redis, stack.rabbitmq, stack.gateway
    instances = tuple(
        _http(f"{name}-{index}", "service", stack.instance_port(name, index), "/health/ready")
        for name in SERVICE_NAMES
        for index in range(stack.services[name].replicas)
    )
    return (
        Component(
            "rabbitmq",
            "broker",
            broker.port,
            probe=lambda: probes.amqp(reachable(broker.host), broker.port),
        ),
        Component(
            POSTGRES,
            "store",
            database.port,
            probe=lambda: probes.postgres(reachable(database.host), database.port),
        ),
        Component(
            "redis",
            "store",
            redis.port,
            probe=lambda: probes.redis(reachable(redis.host), redis.port),
        ),
        Component(MIGRATE, "job", None, after=(POSTGRES,)),
        Component(OPENAPI, "job", None),
        *instances,
        Component(
            gateway.kind,
            "gateway",
            gateway.port,
            after=(OPENAPI,),  # it reads what the job writes when it starts
            probe=lambda: probes.routes(reachable(gateway.host), gateway.port, SERVICE_NAMES),
            settles=tuple(instance.name for instance in instances),
        ),
        *(_observers(stack) if stack.compose.observability else ()),
    )


def _observers(stack: Stack) -> tuple[Component, ...]:
    compose = stack.compose
    return (
        _http("prometheus", "observer", compose.prometheus_port, "/-/ready"),
        _http("grafana", "observer", compose.grafana_port, "/api/health"),
        _http("jaeger", "observer", compose.jaeger_port, "/"),
    )


def _http(name: str, kind: Kind, port: int, path: str) -> Component:
    return Component(
        name,
        kind,
        port,
        after=(MIGRATE, "redis") if kind == "service" else (),
        probe=lambda: probes.http(LOOPBACK, port, path),
    )
