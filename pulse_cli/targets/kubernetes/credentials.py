"""The Secrets that pods mount, made from the stack's own; they go to kubectl's standard input."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from pulse_cli.render.kubernetes.base import SECRETS_FOLDER
from pulse_cli.render.kubernetes.components import secret_keys
from pulse_cli.render.kubernetes.stores import PLACES, POOLER
from pulse_cli.render.stores import rabbitmq_files, redis_files
from pulse_cli.stack.model import SERVICE_NAMES, Redis, Stack
from pulse_cli.stack.secrets import GATEWAY, MIGRATE, OPERATOR, Secrets

PART_OF = "app.kubernetes.io/part-of"


def manifests(stack: Stack, secrets: Secrets, labels: Mapping[str, str]) -> str:
    """Return a List of Secrets as JSON; whoever holds the text holds the secrets."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": name,
                "namespace": stack.kubernetes.namespace,
                "labels": {PART_OF: "pulse", **labels},
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
        for name, data in contents(stack, secrets).items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def contents(stack: Stack, secrets: Secrets) -> dict[str, dict[str, str]]:
    """Return every Secret's files."""
    found: dict[str, dict[str, str]] = {}
    for name, keys in secret_keys(stack).items():
        if name != POOLER:
            found[name] = {key: secrets.get(name, key) for key in keys}
    place = PLACES.get(stack.kubernetes.overlay)
    if place is not None and place.redis_user is not None:  # it has one password for everybody
        for name in (*SERVICE_NAMES, GATEWAY):
            found[name]["redis_password"] = secrets.get(OPERATOR, "redis_password")
    if stack.kubernetes.overlay == "dev":
        found["postgres"] = {"superuser_password": secrets.get(OPERATOR, "superuser_password")}
        anywhere = Redis(host="0.0.0.0", port=6379)  # noqa: S104 - the pod's own network
        found["redis"] = redis_files(anywhere, secrets, "/data")
        found["rabbitmq"] = rabbitmq_files(secrets, SECRETS_FOLDER)
    elif POOLER in secret_keys(stack):
        passwords = ((name, secrets.get(MIGRATE, f"{name}_app_password")) for name in SERVICE_NAMES)
        lines = (f'"{name}_app" "{password}"\n' for name, password in passwords)
        found[POOLER] = {"userlist.txt": "".join(lines)}
    return found
