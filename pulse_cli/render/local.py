"""Everything that the local target's programs read.

Files are private (they hold keys and hashes), and written only when they change.
"""

from __future__ import annotations

import json
import re
import resource
from dataclasses import replace
from pathlib import Path

from pulse_cli.components import Binaries
from pulse_cli.errors import Unusable
from pulse_cli.files import private_folder, write_private
from pulse_cli.render import envoy, prometheus
from pulse_cli.render.gateway import filled, on_loopback
from pulse_cli.render.jinja import fill
from pulse_cli.render.stores import rabbitmq_files, redis_files
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import MIGRATE, Secrets
from pulse_cli.targets.local.processes import LABEL
from pulse_cli.targets.local.programs import (
    DESCRIPTORS,
    REPLICA_PASSFILE,
    REPLICATION_USER,
    description_folder,
    local_programs,
    peers,
)
from pulse_cli.targets.local.runtime import supervisor_socket

PLAIN_PATH = re.compile(r"[\w ./@+,:=~-]+")
"""Paths that RabbitMQ hands to a shell unharmed and that Supervisor does not expand."""


def render_local(
    stack: Stack,
    secrets: Secrets,
    state: Path,
    binaries: Binaries,
    serving: Stack | None = None,
) -> None:
    """Write every file below `rendered/` that the stack's programs read.

    While a stack is being scaled, `serving` is the one whose instances the gateway and the
    services are told of.

    Raises:
        Unusable: the state folder's path, or another value, cannot be written in Supervisor's
            configuration.
        MissingComponent: this is root, and PostgreSQL cannot be run as anybody else.
        OSError: a file cannot be written.
    """
    if not PLAIN_PATH.fullmatch(str(state)):
        raise Unusable(
            f"{str(state)!r} cannot hold a stack: "
            "rename the folder to letters, digits, spaces and . _ - + @ , : = ~"
        )
    folder = private_folder(state / "rendered")
    serving = serving or stack
    render_gateway(serving, secrets, state)
    files = {
        "supervisord.conf": fill(
            "supervisor/supervisord.conf.j2",
            state=state,
            socket=supervisor_socket(state),
            label=LABEL,
            descriptors=_descriptors(),
            programs=list(local_programs(stack, state, binaries)),
        ),
        **redis_files(stack.redis, secrets, str(state / "data" / "redis")),
        **rabbitmq_files(secrets, str(folder)),
        "peers.json": json.dumps(peers(serving), indent=2) + "\n",
        **prometheus.on_this_machine(serving, "envoy"),
    }
    if stack.postgres.replica:
        password = secrets.get(MIGRATE, "replication_password")
        files[REPLICA_PASSFILE] = f"*:*:*:{REPLICATION_USER}:{password}\n"
    for name, content in files.items():
        write_private(folder / name, content)


def render_gateway(stack: Stack, secrets: Secrets, state: Path) -> None:
    """Write Envoy's configuration, and one file of endpoints a service that it watches.

    Envoy follows the endpoints without a restart; its configuration it reads at start only.

    Raises:
        OSError: a file cannot be written.
    """
    folder = private_folder(state / "rendered")
    where = replace(
        on_loopback(stack),
        folder=f"{folder}/",
        description=f"{private_folder(description_folder(state))}/",
        endpoints=str(private_folder(folder / "eds")),
    )
    for name, text in envoy.endpoints(where).items():
        write_private(folder / "eds" / f"{name}.json", text)
    for path, text in envoy.around(stack, where).items():
        write_private(folder / path, filled(text, secrets))


def _descriptors() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
