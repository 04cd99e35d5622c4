"""Where the stores are in each overlay: in the cluster for `dev`, run by a cloud for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pulse_cli.errors import ConfigError
from pulse_cli.programs import BROKER_USER, BROKER_VHOST, SUPERUSER
from pulse_cli.render.kubernetes.base import SECRETS_FOLDER
from pulse_cli.stack.kubernetes import Overlay
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack

CA_FOLDER = "/etc/pulse/store-ca"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian's images have the public authorities."""

UNSET = "not-set.invalid"
"""Stands for a managed store that the configuration does not name; it can be nobody's."""

POOLER = "pgbouncer"
POOLER_PORT = 6432
POOLER_REPLICAS = 2
SESSION_SUFFIX = "_session"
STATEMENT_MILLISECONDS = 6_000
"""What services ask for at their start, which a pooler does not pass on."""

SPARE_CONNECTIONS = 10


@dataclass(frozen=True)
class Place:
    """How one cloud serves the stores."""

    about: str
    postgres_port: int = 5432
    sslmode: Literal["verify-ca", "verify-full"] = "verify-full"
    redis_port: int = 6379
    redis_user: str | None = None
    """The one user there is, where a cloud has no users of Redis; else each service has its own."""
    rabbitmq_port: int = 5671
    private_ca: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the gateway's Service, for the cloud's load balancer."""


PLACES: Mapping[Overlay, Place] = {
    "production": Place("Stores that somebody else runs, reached with TLS."),
    "aws": Place(
        "Amazon RDS, ElastiCache (users by RBAC) and Amazon MQ.",
        private_ca=True,
        annotations={
            "service.beta.kubernetes.io/aws-load-balancer-type": "external",
            "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
            "service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing",
            "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes": (
                "preserve_client_ip.enabled=true"
            ),
        },
    ),
    "gcp": Place(
        "Cloud SQL, Memorystore (one password, no users) and a RabbitMQ of the marketplace.",
        sslmode="verify-ca",  # the name in Cloud SQL's certificate is no host name
        redis_port=6378,
        redis_user="default",
        private_ca=True,
        annotations={"cloud.google.com/l4-rbs": "enabled"},
    ),
    "azure": Place(
        "Azure Database for PostgreSQL, Azure Cache for Redis (one key, no users) and a RabbitMQ "
        "of the marketplace.",
        redis_port=6380,
        redis_user="default",
        annotations={
            "service.beta.kubernetes.io/azure-load-balancer-health-probe-request-path": "/"
        },
    ),
}
"""The overlays whose stores are managed; `istio` is `production` in a mesh."""


@dataclass(frozen=True)
class Pool:
    """PgBouncer's connections to the database of one service, of each of its replicas."""

    shared: int
    sessions: int


def peak_connections(stack: Stack) -> int:
    """Connections that all services may open when they have grown as far as they may."""
    beside = _beside(stack)
    pods = ((_most(stack, name), stack.services[name].pool_size) for name in SERVICE_NAMES)
    return sum(most * (pool + beside) for most, pool in pods) + SPARE_CONNECTIONS


def explain_connections(stack: Stack) -> str:
    """Say the sum behind `peak_connections`: pods of each service, pools and what is beside."""
    beside = _beside(stack)
    parts = [
        f"{name} {_most(stack, name)} of ({stack.services[name].pool_size} + {beside})"
        for name in SERVICE_NAMES
    ]
    return f"{' + '.join(parts)} + {SPARE_CONNECTIONS} spare = {peak_connections(stack)}"


def pooled(stack: Stack) -> bool:
    """Whether the services may need more connections than the managed database has."""
    return peak_connections(stack) > stack.kubernetes.managed.postgres_connections


def pools(stack: Stack) -> dict[str, Pool]:
    """Divide the managed database's connections over the poolers and the services' databases.

    Raises:
        ConfigError: there are too few for all.
    """
    limit = stack.kubernetes.managed.postgres_connections
    sessions = {name: _most(stack, name) for name in SERVICE_NAMES}
    held = POOLER_REPLICAS * sum(sessions.values())
    shared = (limit - SPARE_CONNECTIONS - held) // (POOLER_REPLICAS * len(SERVICE_NAMES))
    if shared < 1:
        raise ConfigError(
            f"kubernetes.managed.postgres_connections = {limit} is too few even with PgBouncer: "
            f"its {POOLER_REPLICAS} replicas may hold {held} sessions, {SPARE_CONNECTIONS} are "
            f"spare and each of {len(SERVICE_NAMES)} databases needs one in each replica"
        )
    return {name: Pool(shared, sessions[name]) for name in SERVICE_NAMES}


def ca_file(stack: Stack, place: Place) -> str:
    """Return where a container finds the authorities of the stores' certificates."""
    chosen = stack.kubernetes.managed.private_ca
    private = place.private_ca if chosen is None else chosen
    return f"{CA_FOLDER}/ca.pem" if private else SYSTEM_CA


def inside() -> dict[str, str]:
    """Return the services' settings that say where the stores are, for stores in the cluster."""
    return {
        "SERVICE_DATABASE_HOST": "postgres",
        "SERVICE_DATABASE_PORT": "5432",
        "SERVICE_DATABASE_SSLMODE": "disable",  # between pods that the network policies let meet
        "SERVICE_REDIS_HOST": "redis",
        "SERVICE_REDIS_PORT": "6379",
        "SERVICE_RABBITMQ_HOST": "rabbitmq",
        "SERVICE_RABBITMQ_PORT": "5672",
        "SERVICE_RABBITMQ_USER": BROKER_USER,
        "SERVICE_RABBITMQ_VHOST": BROKER_VHOST,
    }


def managed(stack: Stack, place: Place) -> dict[str, str]:
    """Return the services' settings that say where the stores are, for stores of a cloud."""
    stores = stack.kubernetes.managed
    ca = ca_file(stack, place)
    settings = {
        "SERVICE_DATABASE_HOST": stores.postgres or UNSET,
        "SERVICE_DATABASE_PORT": str(place.postgres_port),
        "SERVICE_DATABASE_SSLMODE": place.sslmode,
        "SERVICE_REDIS_HOST": stores.redis or UNSET,
        "SERVICE_REDIS_PORT": str(place.redis_port),
        "SERVICE_REDIS_TLS": "true",
        "SERVICE_RABBITMQ_HOST": stores.rabbitmq or UNSET,
        "SERVICE_RABBITMQ_PORT": str(place.rabbitmq_port),
        "SERVICE_RABBITMQ_USER": stores.rabbitmq_user,
        "SERVICE_RABBITMQ_VHOST": stores.rabbitmq_vhost,
        "SERVICE_RABBITMQ_TLS": "true",
        "SERVICE_STORE_CA": ca,
    }
    if pooled(stack):
        settings |= {
            "SERVICE_DATABASE_HOST": POOLER,
            "SERVICE_DATABASE_PORT": str(POOLER_PORT),
            "SERVICE_DATABASE_SSLMODE": "disable",  # the pooler encrypts what leaves the cluster
            "SERVICE_DATABASE_SESSION_SUFFIX": SESSION_SUFFIX,
        }
    elif stores.postgres_replica is not None:
        settings["SERVICE_REPLICA_HOST"] = stores.postgres_replica
        settings["SERVICE_REPLICA_PORT"] = str(place.postgres_port)
    if place.redis_user is not None:
        settings["SERVICE_REDIS_USER"] = place.redis_user
    return settings


def migration(stack: Stack, place: Place | None) -> dict[str, str]:
    """Return the migrations' settings; they go past a pooler. `None` is stores in the cluster."""
    common = {"MIGRATE_SECRETS_DIR": SECRETS_FOLDER}
    if place is None:
        return common | {
            "MIGRATE_DATABASE_HOST": "postgres",
            "MIGRATE_DATABASE_PORT": "5432",
            "MIGRATE_DATABASE_USER": SUPERUSER,
        }
    stores = stack.kubernetes.managed
    return common | {
        "MIGRATE_DATABASE_HOST": stores.postgres or UNSET,
        "MIGRATE_DATABASE_PORT": str(place.postgres_port),
        "MIGRATE_DATABASE_USER": stores.postgres_user,
        # Libpq's own variables.
        "PGSSLMODE": place.sslmode,
        "PGSSLROOTCERT": ca_file(stack, place),
    }


def _beside(stack: Stack) -> int:
    """Connections of a pod beside its pool: the relay of events, and who watches a replica."""
    return 1 if stack.kubernetes.managed.postgres_replica is None else 2


def _most(stack: Stack, name: ServiceName) -> int:
    """Most pods of a service, with its canary."""
    canary = stack.kubernetes.canary
    beside = 1 if canary is not None and canary.service == name else 0
    return max(stack.kubernetes.autoscaling.most, stack.services[name].replicas) + beside
