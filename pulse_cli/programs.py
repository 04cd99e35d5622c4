"""What the platform's programs are told, the same wherever they run.

No secret appears in a command line or an environment: a program is given the folder or the
private file that holds its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack

SUPERUSER = "pulse"
"""PostgreSQL's superuser, made by `initdb`."""

BROKER_USER = "pulse"
BROKER_VHOST = "pulse"

LOOPBACK = "127.0.0.1"
"""Where on one machine the services and the gateway's admin interface listen, and nowhere else."""

ENVOY_CONCURRENCY = 1
"""Worker threads: one serves about 3,000 requests/s (286-330 CPU µs each with every policy)."""

GATEWAY_CONNECTIONS = 8_000
"""Most client connections of the gateway at once."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

POSTGRES_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
"""Beside PostgreSQL's defaults: data that fit in memory, queries too short to compile."""

SCALE_ROOM = 3
"""Instances of each service that a running server has connections for (its limit is fixed)."""


def connection_limit(stack: Stack) -> int:
    """Return `max_connections` of a stack's server, with room to scale while it runs."""
    services: dict[str, object] = {
        name: stack.services[name].model_copy(
            update={"replicas": max(SCALE_ROOM, stack.services[name].replicas)}
        )
        for name in SERVICE_NAMES
    }
    scaled = stack.services.model_copy(update=services)
    return stack.model_copy(update={"services": scaled}).max_connections


def contained_postgres(stack: Stack) -> list[str]:
    """Return the command of PostgreSQL's container, which others reach, whatever its image says."""
    own = {"listen_addresses": "*", "max_connections": str(connection_limit(stack))}
    settings = {**POSTGRES_SETTINGS, **own}
    options = (f"{key}={value}" for key, value in settings.items())
    return ["postgres", *(part for option in options for part in ("-c", option))]


def service_environment(stack: Stack, name: ServiceName, index: int, state: Path) -> dict[str, str]:
    """Return the settings of instance `index` of a service, all derived from the stack."""
    service = stack.services[name]
    values: dict[str, object] = {
        "NAME": name,
        "INSTANCE": index,
        "HOST": LOOPBACK,
        "PORT": stack.instance_port(name, index),
        "LOG_LEVEL": "info",
        "SECRETS_DIR": state / "secrets" / name,
        "PEERS_FILE": state / "rendered" / "peers.json",
        "DATABASE_HOST": stack.postgres.host,
        "DATABASE_PORT": stack.postgres.port,
        "DATABASE_NAME": name,
        "DATABASE_USER": f"{name}_app",
        "DATABASE_SSLMODE": "disable",  # it never leaves this machine
        "POOL_SIZE": service.pool_size,
        "REDIS_HOST": stack.redis.host,
        "REDIS_PORT": stack.redis.port,
        "REDIS_USER": name,
        "RABBITMQ_HOST": stack.rabbitmq.host,
        "RABBITMQ_PORT": stack.rabbitmq.port,
        "RABBITMQ_USER": BROKER_USER,
        "RABBITMQ_VHOST": BROKER_VHOST,
        "TOKEN_ISSUER": stack.tokens.issuer,
        "TOKEN_AUDIENCE": stack.tokens.audience,
        "ACCESS_TTL_SECONDS": stack.tokens.access_ttl_seconds,
        "REFRESH_TTL_SECONDS": stack.tokens.refresh_ttl_seconds,
    }
    if name == "messaging":
        values["DELIVERIES_DAYS"] = stack.retention.deliveries_days
    if name == "notifications":
        values["READ_NOTIFICATIONS_DAYS"] = stack.retention.read_notifications_days
        values["UNREAD_NOTIFICATIONS_DAYS"] = stack.retention.unread_notifications_days
        values["PUSH_CONTACT"] = stack.push.contact
        values["PUSH_PRIVATE_ADDRESSES"] = stack.push.private_addresses
    if stack.observability.otlp_endpoint is not None:
        values["OTLP_ENDPOINT"] = stack.observability.otlp_endpoint
    return {f"SERVICE_{key}": str(value) for key, value in values.items()}
