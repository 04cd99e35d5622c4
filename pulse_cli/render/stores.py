"""What Redis and RabbitMQ read, wherever they run. It holds hashes, so the files are private."""

from __future__ import annotations

import base64
import hashlib

from pulse_cli.programs import BROKER_USER, BROKER_VHOST
from pulse_cli.render.jinja import fill
from pulse_cli.stack.model import SERVICE_NAMES, Redis
from pulse_cli.stack.secrets import GATEWAY, OPERATOR, Secrets


def redis_files(redis: Redis, secrets: Secrets, data: str) -> dict[str, str]:
    """Return Redis' configuration, with a user for each service; `data` is its folder."""
    config = fill(
        "redis/redis.conf.j2",
        redis=redis,
        data=data,
        operator_hash=_sha256(secrets.get(OPERATOR, "redis_password")),
        gateway_hash=_sha256(secrets.get(GATEWAY, "redis_password")),
        users={name: _sha256(secrets.get(name, "redis_password")) for name in SERVICE_NAMES},
    )
    return {"redis.conf": config}


def rabbitmq_files(secrets: Secrets, folder: str) -> dict[str, str]:
    """Return what RabbitMQ reads in `folder`: its configuration, and the one user and vhost."""
    definitions = fill(
        "rabbitmq/definitions.json.j2",
        user=BROKER_USER,
        vhost=BROKER_VHOST,
        password_hash=_rabbitmq_hash(secrets.get(OPERATOR, "rabbitmq_password")),
    )
    return {
        "rabbitmq.conf": fill(
            "rabbitmq/rabbitmq.conf.j2", definitions=f"{folder}/definitions.json"
        ),
        "definitions.json": definitions,
        # Without these three, RabbitMQ would take the system's own files in /etc/rabbitmq.
        "advanced.config": "[].\n",
        "enabled_plugins": "[].\n",
        "rabbitmq-env.conf": "",
    }


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _rabbitmq_hash(password: str) -> str:
    """Return RabbitMQ's salted hash; the salt follows from the password, so files stay the same.

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
