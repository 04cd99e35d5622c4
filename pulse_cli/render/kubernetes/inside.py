"""The stores as StatefulSets, for clusters that have no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pulse_cli.programs import SUPERUSER, contained_postgres
from pulse_cli.render.compose import RABBITMQ
from pulse_cli.render.jinja import fill
from pulse_cli.render.kubernetes.base import PATHS, SECRETS_FOLDER
from pulse_cli.render.kubernetes.kustomize import component
from pulse_cli.stack.kubernetes import Pod
from pulse_cli.stack.model import Stack

REACH = {
    "service": ("postgres", "redis", "rabbitmq"),
    "migration": ("postgres",),
    "gateway": ("redis",),
}
"""Which kinds of pods use which stores."""

PORTS = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672}
ABOUT = "The stores in the cluster itself, one of each: for development, not for data that matter."


@dataclass(frozen=True)
class Store:
    """One StatefulSet."""

    image: str
    port: int
    protocol: str
    """The port's name."""
    user: int
    """Whom the image's files belong to."""
    pod: Pod
    data: str
    size: str
    ready: dict[str, object]
    live: dict[str, object]
    users: list[str]
    """Kinds of pods that may reach it."""
    args: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    scratch: tuple[str, ...] = ("/tmp",)  # noqa: S108 - in the pod alone


def files(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield the component's files, by path."""
    common: dict[str, object] = {"k": stack.kubernetes, "paths": PATHS}
    names = list(PORTS)
    for name, store in _stores(stack).items():
        yield (
            f"{name}.yaml",
            fill("kubernetes/stores/store.yaml.j2", name=name, store=store, **common),
        )
    reach = {
        kind: [{"name": name, "port": PORTS[name], "networks": ()} for name in stores]
        for kind, stores in REACH.items()
    }
    yield "reach.yaml", fill("kubernetes/stores/reach.yaml.j2", reach=reach, **common)
    resources = [*(f"{name}.yaml" for name in names), "reach.yaml"]
    yield "kustomization.yaml", component(stack, ABOUT, resources)


def _stores(stack: Stack) -> dict[str, Store]:
    images = stack.images
    return {
        "postgres": Store(
            image=images.postgres,
            port=PORTS["postgres"],
            protocol="postgresql",
            user=999,
            pod=Pod(cpu_millicores=500, memory_mib=1024),
            data="/data",
            size="8Gi",
            ready=_exec("pg_isready", "--quiet", "--host=127.0.0.1", f"--username={SUPERUSER}"),
            live=_tcp("postgresql"),
            users=_users("postgres"),
            args=contained_postgres(stack),
            environment={
                "POSTGRES_USER": SUPERUSER,
                "POSTGRES_PASSWORD_FILE": f"{SECRETS_FOLDER}/superuser_password",
                "POSTGRES_INITDB_ARGS": (
                    "--auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8"
                ),
                "PGDATA": "/data/postgres",
            },
            scratch=("/tmp", "/var/run/postgresql"),  # noqa: S108
        ),
        "redis": Store(
            image=images.redis,
            port=PORTS["redis"],
            protocol="redis",
            user=999,
            pod=Pod(cpu_millicores=250, memory_mib=512),
            data="/data",
            size="2Gi",
            # Being asked to log in is as good as a pong; loading its data is not.
            ready=_exec("sh", "-c", "redis-cli ping | grep -E '^(PONG|NOAUTH)'"),
            live=_tcp("redis"),
            users=_users("redis"),
            args=["redis-server", f"{SECRETS_FOLDER}/redis.conf"],
        ),
        "rabbitmq": Store(
            image=images.rabbitmq,
            port=PORTS["rabbitmq"],
            protocol="amqp",
            user=999,
            pod=Pod(cpu_millicores=250, memory_mib=512),
            data="/data",
            size="2Gi",
            ready=_tcp("amqp"),
            # `rabbitmq-diagnostics ping` starts another Erlang: on a busy node it came too late.
            live=_tcp("amqp"),
            users=_users("rabbitmq"),
            environment={
                key: value.replace("/etc/pulse/rabbitmq", SECRETS_FOLDER)
                for key, value in RABBITMQ.items()
            },
        ),
    }


def _users(store: str) -> list[str]:
    return [kind for kind, stores in REACH.items() if store in stores]


def _exec(*command: str) -> dict[str, object]:
    return {"exec": {"command": list(command)}}


def _tcp(port: str) -> dict[str, object]:
    return {"tcpSocket": {"port": port}}
