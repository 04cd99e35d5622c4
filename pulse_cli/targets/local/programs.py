"""The processes of the local target: what each runs, with which environment, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulse_cli.components import Binaries
from pulse_cli.programs import (
    ENVOY_CONCURRENCY,
    GATEWAY_CONNECTIONS,
    LOOPBACK,
    SUPERUSER,
    SYSTEM_PATH,
    connection_limit,
    service_environment,
)
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack
from pulse_cli.stack.secrets import MIGRATE
from pulse_cli.targets.local.postgres import ordinary_user

REPLICATION_USER = "replication"
"""The role that the standby follows the server by; its password is a secret of `migrate`'s."""

REPLICA_PASSFILE = "replica.pgpass"
"""Libpq's file of the standby's password, among the rendered ones."""

KEPT_WAL = "256MB"
"""What the server keeps of its log for a standby that is away; past it the standby is made anew."""

DESCRIPTORS = 2 * GATEWAY_CONNECTIONS + 384
"""Open files of a process: the gateway needs two for each client, and some of its own."""


@dataclass(frozen=True)
class Program:
    """One process under Supervisor."""

    name: str
    command: tuple[str, ...]
    tier: int
    """Programs of a higher tier depend on lower ones and are stopped before them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    one_shot: bool = False
    stop_signal: str = "TERM"


def local_programs(stack: Stack, state: Path, binaries: Binaries) -> Iterator[Program]:
    """Yield every program of the stack.

    Raises:
        MissingComponent: this is root, and PostgreSQL cannot be run as anybody else.
    """
    rendered = state / "rendered"
    yield Program(
        "epmd",
        (str(binaries.epmd), "-port", str(stack.rabbitmq.epmd_port), "-address", LOOPBACK),
        tier=0,
    )
    yield Program(
        "rabbitmq",
        (str(binaries.rabbitmq_home / "sbin" / "rabbitmq-server"),),
        tier=1,
        environment=_rabbitmq_environment(stack, state, binaries),
    )
    yield Program("postgres", _postgres(stack, state, binaries), tier=1, stop_signal="INT")
    if stack.postgres.replica:
        yield Program(
            "postgres-replica", _replica(stack, state, binaries), tier=2, stop_signal="INT"
        )
    yield Program("redis", (str(binaries.redis_server), str(rendered / "redis.conf")), tier=1)
    yield Program(
        "migrate",
        _python(binaries, "services.migrate"),
        tier=2,
        environment=_migrate_environment(stack, state),
        one_shot=True,
    )
    yield Program(
        "openapi",
        (*_python(binaries, "services.openapi"), str(description_folder(state))),
        tier=2,
        one_shot=True,
    )
    for name in SERVICE_NAMES:
        for index in range(stack.services[name].replicas):
            yield Program(
                f"{name}-{index}",
                _python(binaries, f"services.{name}"),
                tier=3,
                environment=local_environment(stack, name, index, state),
            )
    envoy = (str(binaries.envoy), "-c", str(rendered / "envoy.json"), "--disable-hot-restart")
    options = ("--concurrency", str(ENVOY_CONCURRENCY), "--log-level", "warning")
    yield Program("envoy", (*envoy, *options), tier=4)


def explain_program(stack: Stack, state: Path, binaries: Binaries) -> Program:
    """Return the job that explains the hot queries; it is run by hand, beside the stack."""
    return Program(
        "explain",
        _python(binaries, "services.explain"),
        tier=3,
        environment=_migrate_environment(stack, state),
        one_shot=True,
    )


def description_folder(state: Path) -> Path:
    """Return where the job `openapi` puts the API's description and the gateway finds it."""
    return state / "rendered" / "api"


def local_environment(stack: Stack, name: ServiceName, index: int, state: Path) -> dict[str, str]:
    """Return the settings of an instance on this machine, where a replica may run."""
    settings = service_environment(stack, name, index, state)
    if stack.postgres.replica:
        settings["SERVICE_REPLICA_HOST"] = stack.postgres.host
        settings["SERVICE_REPLICA_PORT"] = str(stack.postgres.replica_port)
    return settings


def peers(stack: Stack) -> dict[str, list[str]]:
    """Return the base URLs of every service's instances, as services find each other."""
    return {
        name: [
            f"http://{LOOPBACK}:{stack.instance_port(name, index)}"
            for index in range(stack.services[name].replicas)
        ]
        for name in SERVICE_NAMES
    }


def _python(binaries: Binaries, module: str) -> tuple[str, ...]:
    # -P: a folder called `services` where the user stands must not be taken for ours.
    return (str(binaries.python), "-P", "-m", module)


def _postgres(stack: Stack, state: Path, binaries: Binaries) -> tuple[str, ...]:
    options = _server_options(stack, stack.postgres.port)
    if stack.postgres.replica:
        options += (f"--wal_keep_size={KEPT_WAL}",)
    server = str(binaries.postgres_bin / "postgres")
    return (*ordinary_user(), server, "-D", str(state / "data" / "postgres"), *options)


def _replica(stack: Stack, state: Path, binaries: Binaries) -> tuple[str, ...]:
    """The standby's command: its data are looked at, and made anew if need be, at each start."""
    conninfo = (
        f"host={stack.postgres.host} port={stack.postgres.port} user={REPLICATION_USER} "
        f"passfile='{state / 'rendered' / REPLICA_PASSFILE}' "
        "application_name=postgres-replica gssencmode=disable"
    )
    settings = {
        "primary_conninfo": conninfo,
        "fsync": "off",  # its data can be had again, and are made anew when the machine went down
        "wal_retrieve_retry_interval": "500ms",  # the server is soon back when it was restarted
        "hot_standby_feedback": "on",  # so that vacuum leaves what is being read here
        "max_standby_streaming_delay": "1s",  # a long read must not keep all others behind
    }
    return (
        *_python(binaries, "pulse_cli.targets.local.standby"),
        str(binaries.postgres_bin),
        str(state),
        conninfo,
        *_server_options(stack, stack.postgres.replica_port),
        *(f"--{key}={value}" for key, value in settings.items()),
    )


def _server_options(stack: Stack, port: int) -> tuple[str, ...]:
    """The options of server and standby; it must allow no fewer connections than the server."""
    settings = {
        "listen_addresses": stack.postgres.host,
        "port": port,
        "max_connections": connection_limit(stack),
        "unix_socket_directories": "",  # TCP only: a state folder's path may be too long for one
    }
    return tuple(f"--{key}={value}" for key, value in settings.items())


def _migrate_environment(stack: Stack, state: Path) -> dict[str, str]:
    values = {
        "MIGRATE_DATABASE_HOST": stack.postgres.host,
        "MIGRATE_DATABASE_PORT": str(stack.postgres.port),
        "MIGRATE_DATABASE_USER": SUPERUSER,
        "MIGRATE_SECRETS_DIR": str(state / "secrets" / MIGRATE),
    }
    if stack.postgres.replica:
        values["MIGRATE_REPLICATION_USER"] = REPLICATION_USER
    return values


def _rabbitmq_environment(stack: Stack, state: Path, binaries: Binaries) -> dict[str, str]:
    rendered, data = state / "rendered", state / "data" / "rabbitmq"
    values: dict[str, object] = {
        "HOME": data,  # Erlang's cookie lies there
        "PATH": f"{binaries.erlang_bin}:{SYSTEM_PATH}",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": stack.rabbitmq.epmd_port,
        "ERL_CRASH_DUMP_SECONDS": 0,
        "RABBITMQ_HOME": binaries.rabbitmq_home,
        # The data lie below the node's name, so it must not change with the port.
        "RABBITMQ_NODENAME": "pulse@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": stack.rabbitmq.host,
        "RABBITMQ_NODE_PORT": stack.rabbitmq.port,
        "RABBITMQ_DIST_PORT": stack.rabbitmq.dist_port,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": rendered / "rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": rendered / "advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": rendered / "enabled_plugins",
        "RABBITMQ_CONF_ENV_FILE": rendered / "rabbitmq-env.conf",
        "RABBITMQ_MNESIA_BASE": data / "mnesia",
        "RABBITMQ_GENERATED_CONFIG_DIR": data / "config",
        "RABBITMQ_SCHEMA_DIR": data / "schema",
        "RABBITMQ_PID_FILE": state / "run" / "rabbitmq.pid",
        "RABBITMQ_LOG_BASE": state / "logs",
        "RABBITMQ_LOGS": "-",
        "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server: one pid
    }
    return {key: str(value) for key, value in values.items()}
