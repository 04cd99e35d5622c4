"""The one-shot job that makes databases and roles, and brings every schema up to date.

Each service has a database of its own and two roles: the owner, which only this job uses, and the
application's, which may read and write rows and nothing else. Migrations are the numbered SQL
files of the kit and then of the service; each is applied once, in its own transaction, under a
lock, so that several jobs at a time do no harm. Run as `python -m services.migrate`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import encrypt_password
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("users", "posts", "events", "messaging", "social", "notifications")

_LOCK = 0x4D494752  # "MIGR"
_CONNECT_SECONDS = 5


class MigrationError(Exception):
    """The schema cannot be brought up to date."""


class MigrateSettings(BaseSettings):
    """Where PostgreSQL is, from `MIGRATE_*`; passwords are files in `MIGRATE_SECRETS_DIR`."""

    model_config = SettingsConfigDict(env_prefix="MIGRATE_", frozen=True, extra="ignore")

    database_host: str
    database_port: int = 5432
    database_user: str
    secrets_dir: Path
    replication_user: str | None = None
    """The role that a standby of the server follows it by; made when it is named."""
    superuser_password: SecretStr = Field(validation_alias="superuser_password")

    def role_password(self, role: str) -> str:
        """The password of a role, from `<role>_password`."""
        return (self.secrets_dir / f"{role}_password").read_text().strip()


def migrate(settings: MigrateSettings) -> list[str]:
    """Bring everything up to date; the migrations that were applied, as `service/file`.

    Raises:
        MigrationError: a file that was applied before has changed since, or one fails.
        psycopg2.Error: PostgreSQL cannot be reached or refuses.
        OSError: a password file is missing.
    """
    password = settings.superuser_password.get_secret_value()
    user = settings.database_user
    with _connected(settings, "postgres", user, password) as admin, _locked(admin):
        for service in SERVICES:
            _provision(admin, settings, service)
        if settings.replication_user is not None:
            _make_role(admin, settings, settings.replication_user)
            role = sql.Identifier(settings.replication_user)
            with admin.cursor() as cursor:
                cursor.execute(sql.SQL("ALTER ROLE {} REPLICATION").format(role))
    for service in SERVICES:
        with _connected(settings, service, user, password) as admin:
            _restrict(admin, service)
    applied: list[str] = []
    for service in SERVICES:
        owner = f"{service}_owner"
        with (
            _connected(settings, service, owner, settings.role_password(owner)) as connection,
            _locked(connection),
        ):
            applied += (f"{service}/{name}" for name in _apply(connection, service))
    return applied


@contextmanager
def _connected(
    settings: MigrateSettings, database: str, user: str, password: str
) -> Iterator[Connection]:
    with closing(
        psycopg2.connect(
            host=settings.database_host,
            port=settings.database_port,
            dbname=database,
            user=user,
            password=password,
            connect_timeout=_CONNECT_SECONDS,
            application_name="migrate",
        )
    ) as connection:
        connection.autocommit = True
        yield connection


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """Hold the job's lock; PostgreSQL lets go of it with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    yield


def _make_role(admin: Connection, settings: MigrateSettings, role: str) -> None:
    """Make a role that may log in, unless it is there, and give it its password."""
    name = sql.Identifier(role)
    with admin.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        # The server is sent the verifier, so that the password can be in none of its logs.
        verifier = encrypt_password(
            settings.role_password(role), role, scope=admin, algorithm="scram-sha-256"
        )
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD %s").format(name), (verifier,))


def _provision(admin: Connection, settings: MigrateSettings, service: str) -> None:
    for role in (f"{service}_owner", f"{service}_app"):
        _make_role(admin, settings, role)
    owner = sql.Identifier(f"{service}_owner")
    with admin.cursor() as cursor:
        # Who is no superuser may give away a database to a role of his own alone.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (service,))
        if cursor.fetchone() is None:
            cursor.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(service), owner)
            )


def _restrict(admin: Connection, service: str) -> None:
    """Nobody but its two roles connects; the application's changes rows, never the schema."""
    names = {
        "database": sql.Identifier(service),
        "owner": sql.Identifier(f"{service}_owner"),
        "app": sql.Identifier(f"{service}_app"),
    }
    statements = (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {app}",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {app}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
    )
    with admin.cursor() as cursor:
        for statement in statements:
            cursor.execute(sql.SQL(statement).format(**names))


def _apply(connection: Connection, service: str) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TABLE IF NOT EXISTS migrations (
                name text PRIMARY KEY,
                sha256 text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )"""
        )
        app = sql.Identifier(f"{service}_app")
        cursor.execute(sql.SQL("REVOKE ALL ON migrations FROM {}").format(app))
        cursor.execute("SELECT name, sha256 FROM migrations")
        known = dict(cursor.fetchall())
        for name, text in _migrations(service):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if name in known:
                if known[name] != digest:
                    raise MigrationError(
                        f"{service}/{name} was applied and has changed since; "
                        "write a new migration instead"
                    )
                continue
            _apply_one(cursor, text, name, digest)
            yield name


def _apply_one(cursor: Cursor, text: str, name: str, digest: str) -> None:
    """Apply a migration and write it down, in one transaction."""
    cursor.execute("BEGIN")
    try:
        cursor.execute(text)
        cursor.execute("INSERT INTO migrations (name, sha256) VALUES (%s, %s)", (name, digest))
    except psycopg2.Error as error:
        cursor.execute("ROLLBACK")
        raise MigrationError(f"{name}: {error}".strip()) from None
    cursor.execute("COMMIT")


def _migrations(service: str) -> Iterator[tuple[str, str]]:
    """Name and text of each migration of a service's database, in order."""
    for package in ("kit", service):
        folder = files("services") / package / "migrations"
        for file in sorted(folder.iterdir(), key=_name):
            if file.name.endswith(".sql"):
                yield f"{package}/{file.name}", file.read_text(encoding="utf-8")


def _name(file: Traversable) -> str:
    return file.name


def main() -> None:
    """Entry point; exits 1 with one sentence when it fails."""
    try:
        settings = MigrateSettings(_secrets_dir=os.environ.get("MIGRATE_SECRETS_DIR"))
        for name in migrate(settings):
            print(f"applied {name}")
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        sys.exit(f"wrong settings (MIGRATE_* and files in MIGRATE_SECRETS_DIR): {wrong}")
    except (MigrationError, psycopg2.Error, OSError) as error:
        sys.exit(f"migration failed: {error}")


if __name__ == "__main__":
    main()
