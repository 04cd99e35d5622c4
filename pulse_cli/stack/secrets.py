"""The stack's secrets: generated once, kept in private files, never shown.

A secret that several programs need is copied into the folder of each (`secrets/<owner>/<name>`),
so that a process is pointed at one folder that holds what it may know and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pulse_cli.files import private_folder, write_private
from pulse_cli.stack.model import SERVICE_NAMES

OPERATOR = "operator"
MIGRATE = "migrate"
GATEWAY = "gateway"
SECRET_BYTES = 32
"""Random bytes of each secret; HS256 wants no fewer (RFC 7518, section 3.2)."""


@dataclass(frozen=True)
class Secrets:
    """Every secret of a stack, by owner and name; `repr` shows none."""

    folder: Path
    _values: Mapping[tuple[str, str], str] = field(repr=False)

    def get(self, owner: str, name: str) -> str:
        """Return a secret, such as `get("users", "redis_password")`. Raises `KeyError`."""
        return self._values[owner, name]

    def owned_by(self, owner: str) -> Path:
        """Return the folder of an owner's secrets: a service, `migrate` or `operator`."""
        return self.folder / owner


def ensure_secrets(state: Path) -> Secrets:
    """Return the stack's secrets, generating those that are missing; existing ones stay.

    Raises:
        OSError: the files cannot be read or written.
    """
    folder = private_folder(state / "secrets")
    for owner in (*SERVICE_NAMES, GATEWAY, MIGRATE, OPERATOR):
        private_folder(folder / owner)
    values: dict[tuple[str, str], str] = {}
    for copies in _layout():
        files = [folder / owner / name for owner, name in copies]
        value = next(filter(None, map(_read, files)), None)
        value = value or secrets.token_urlsafe(SECRET_BYTES)
        for key, file in zip(copies, files, strict=True):
            write_private(file, value)
            values[key] = value
    return Secrets(folder, values)


def owned(owner: str) -> tuple[str, ...]:
    """Return the names of an owner's secrets, in the order of the alphabet."""
    return tuple(sorted(name for copies in _layout() for whose, name in copies if whose == owner))


def _layout() -> Iterator[list[tuple[str, str]]]:
    """Yield, for each secret, the files that hold it; the first is the one that counts."""
    yield [
        (OPERATOR, "token_key"),
        (GATEWAY, "token_key"),
        *((s, "token_key") for s in SERVICE_NAMES),
    ]
    for shared in ("service_key", "rabbitmq_password"):
        yield [(OPERATOR, shared), *((service, shared) for service in SERVICE_NAMES)]
    # 32 random bytes are a private key of P-256 as good as any.
    yield [("notifications", "vapid_key")]
    yield [(OPERATOR, "superuser_password"), (MIGRATE, "superuser_password")]
    yield [(MIGRATE, "replication_password")]
    yield [(OPERATOR, "redis_password")]
    yield [(GATEWAY, "redis_password")]
    yield [(OPERATOR, "seed_password")]
    for service in SERVICE_NAMES:
        yield [(MIGRATE, f"{service}_owner_password")]
        yield [(MIGRATE, f"{service}_app_password"), (service, "database_password")]
        yield [(service, "redis_password")]


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""
