"""The compose project: every container of a stack, and what those that hold no secret read."""

from __future__ import annotations

import json
from pathlib import Path

from pulse_cli.programs import (
    ENVOY_CONCURRENCY,
    LOOPBACK,
    SUPERUSER,
    contained_postgres,
    service_environment,
)
from pulse_cli.render import prometheus
from pulse_cli.render.jinja import fill
from pulse_cli.stack.containers import Limit
from pulse_cli.stack.model import SERVICE_NAMES, Postgres, RabbitMQ, Redis, ServiceName, Stack
from pulse_cli.stack.secrets import MIGRATE, owned

GRACE_SECONDS = 10
"""How long a container may take to stop; services drain within 5."""

HEALTH_SECONDS = 15
"""Between two looks at a container: each costs a process in it, some 50 ms of CPU time."""

SECRETS = "/run/secrets"
GATEWAY = "/etc/pulse/gateway"
API = "/etc/pulse/api"

ANYWHERE = "0.0.0.0"  # noqa: S104 - in the container's own network

STORES = ("postgres", "redis", "rabbitmq")

ASK = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', {port}), 2); "
    "s.sendall(b'GET /health/ready HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(64))"
)

READY_PATHS = {"envoy": "/ready", "kong": "/status"}
"""Where each gateway's admin interface says that it serves."""


def files(stack: Stack) -> dict[str, str]:
    """Return the compose project and what its containers mount, less what holds secrets."""
    project = fill(
        "compose/compose.yaml.j2",
        stack=stack,
        grace=GRACE_SECONDS,
        health_seconds=HEALTH_SECONDS,
        superuser=SUPERUSER,
        addresses={name: stack.compose.store_address(i) for i, name in enumerate(STORES)},
        free=stack.compose.unassigned,
        flow=_flow,
        limits=_limits,
        published=_published,
        postgres=contained_postgres(stack),
        rabbitmq=RABBITMQ,
        envoy=ENVOY,
        kong=KONG,
        ready_path=READY_PATHS[stack.gateway.kind],
        migrate={
            "MIGRATE_DATABASE_HOST": "postgres",
            "MIGRATE_DATABASE_USER": SUPERUSER,
            "MIGRATE_SECRETS_DIR": SECRETS,
        },
        services={name: _instances(stack, name) for name in SERVICE_NAMES},
        secrets={name: owned(name) for name in (MIGRATE, *SERVICE_NAMES)},
    )
    scraping = prometheus.on_this_machine(stack, stack.gateway.kind)
    return {
        "compose.yaml": project,
        "peers/peers.json": json.dumps(peers(stack), indent=2) + "\n",
        **{f"prometheus/{path}": text for path, text in scraping.items()},
        "grafana/provisioning/datasources/pulse.yaml": fill(
            "grafana/datasources.yaml.j2", compose=stack.compose, host=LOOPBACK
        ),
        "grafana/provisioning/dashboards/pulse.yaml": fill("grafana/dashboards.yaml.j2"),
        "grafana/dashboards/platform.json": fill("grafana/platform.json.j2", stack=stack),
    }


def kong_admin() -> str:
    """Return what makes Kong listen on a socket of its own to be told of other instances."""
    return fill("compose/kong-admin.conf.j2", socket=KONG_SOCKET)


def peers(stack: Stack) -> dict[str, list[str]]:
    """Return the base URLs of every service's instances, as containers find each other."""
    return {
        name: [
            f"http://{name}-{index}:{stack.instance_port(name, index)}"
            for index in range(stack.services[name].replicas)
        ]
        for name in SERVICE_NAMES
    }


def _instances(stack: Stack, name: ServiceName) -> list[dict[str, object]]:
    return [
        {
            "name": f"{name}-{index}",
            "port": stack.instance_port(name, index),
            "address": stack.compose.instance_address(SERVICE_NAMES.index(name), index),
            "environment": _environment(stack, name, index),
            "health": [
                "CMD",
                "/opt/pulse/bin/python3",
                "-ISc",
                ASK.format(port=stack.instance_port(name, index)),
            ],
        }
        for index in range(stack.services[name].replicas)
    ]


def _environment(stack: Stack, name: ServiceName, index: int) -> dict[str, str]:
    """Return the settings of one instance, with its surroundings as they are in a container."""
    own = {
        "HOST": ANYWHERE,
        "SECRETS_DIR": SECRETS,
        "PEERS_FILE": "/etc/pulse/peers/peers.json",
        "DATABASE_HOST": "postgres",
        "DATABASE_PORT": "5432",
        "REDIS_HOST": "redis",
        "REDIS_PORT": "6379",
        "RABBITMQ_HOST": "rabbitmq",
        "RABBITMQ_PORT": "5672",
    }
    if stack.compose.observability and stack.observability.otlp_endpoint is None:
        own["OTLP_ENDPOINT"] = "http://jaeger:4318"
    settings = service_environment(stack, name, index, Path("/"))
    return settings | {f"SERVICE_{key}": value for key, value in own.items()}


RABBITMQ = {
    "HOME": "/data",  # Erlang's cookie lies there
    "ERL_EPMD_ADDRESS": LOOPBACK,
    "ERL_CRASH_DUMP_SECONDS": "0",
    # The data lie below the node's name, so it must not change with the container's.
    "RABBITMQ_NODENAME": "pulse@localhost",
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    "RABBITMQ_CONFIG_FILE": "/etc/pulse/rabbitmq/rabbitmq.conf",
    "RABBITMQ_ADVANCED_CONFIG_FILE": "/etc/pulse/rabbitmq/advanced.config",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "/etc/pulse/rabbitmq/enabled_plugins",
    "RABBITMQ_CONF_ENV_FILE": "/etc/pulse/rabbitmq/rabbitmq-env.conf",
    "RABBITMQ_MNESIA_BASE": "/data/mnesia",
    "RABBITMQ_GENERATED_CONFIG_DIR": "/data/config",
    "RABBITMQ_SCHEMA_DIR": "/data/schema",
    "RABBITMQ_PID_FILE": "/tmp/rabbitmq.pid",  # noqa: S108 - in the container alone
    "RABBITMQ_LOG_BASE": "/tmp",  # noqa: S108
    "RABBITMQ_LOGS": "-",
    "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, which is signalled
}

KONG_SOCKET = "/tmp/kong-admin.sock"  # noqa: S108 - in the container alone
KONG_ADMIN = "admin.conf"

KONG = {
    "KONG_PREFIX": "/tmp/kong",  # noqa: S108 - in the container alone
    "KONG_NGINX_WORKER_PROCESSES": str(ENVOY_CONCURRENCY),
    "KONG_NGINX_HTTP_INCLUDE": f"{GATEWAY}/{KONG_ADMIN}",
}
"""Beside what its `kong.conf` says."""

ENVOY = (
    "envoy",
    "-c",
    f"{GATEWAY}/envoy.json",
    "--disable-hot-restart",
    "--concurrency",
    str(ENVOY_CONCURRENCY),
    "--log-level",
    "warning",
)


def _published(store: Postgres | Redis | RabbitMQ) -> str:
    return f"{_bracketed(store.host)}:{store.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _flow(value: object) -> str:
    """Write a value as YAML on one line, in which compose sees no variable."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _limits(limit: Limit) -> str:
    return f'{{resources: {{limits: {{cpus: "{limit.cpus:g}", memory: {limit.memory_mb}M}}}}}}'
