"""A service's settings: the environment (`SERVICE_*`) and one file per secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything one instance needs to know.

    Plain values come from `SERVICE_<FIELD>`; secrets from files in `SERVICE_SECRETS_DIR` named
    like their field, as Docker and Kubernetes mount them.
    """

    model_config = SettingsConfigDict(env_prefix="SERVICE_", frozen=True, extra="ignore")

    name: str
    instance: int = 0
    host: str = "127.0.0.1"
    port: int
    log_level: str = "info"

    database_host: str
    database_port: int = 5432
    database_name: str
    database_user: str
    database_sslmode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    """Not libpq's `prefer`: it may fall back to a second socket behind the event loop's back."""
    database_session_suffix: str = ""
    """What ends the database's name for connections that keep their session to themselves, where a
    pooler divides all others by transaction."""
    pool_size: int = Field(default=10, ge=1, le=20)
    """Most connections of this instance, to the server and to the replica each."""
    replica_host: str | None = None
    """A streaming standby of the server, for lists; without one the server is asked for all."""
    replica_port: int = 5432

    redis_host: str
    redis_port: int = 6379
    redis_user: str
    redis_tls: bool = False

    rabbitmq_host: str
    rabbitmq_port: int = 5672
    rabbitmq_user: str
    rabbitmq_vhost: str
    rabbitmq_tls: bool = False

    store_ca: Path | None = None
    """PEM file of the authorities that the stores' certificates are checked against, where a store
    is reached with TLS; by default the system's."""

    token_issuer: str
    token_audience: str
    access_ttl_seconds: int = 900
    refresh_ttl_seconds: int = 2_592_000

    otlp_endpoint: str | None = None
    """Base URL of an OpenTelemetry collector (OTLP/HTTP) that spans are sent to."""

    read_notifications_days: int = Field(default=90, ge=1, le=36_500)
    unread_notifications_days: int = Field(default=180, ge=1, le=36_500)
    """After so many days notifications are deleted."""
    deliveries_days: int = Field(default=7, ge=1, le=36_500)
    """For how many days a client that was away is told on its WebSocket of messages that were read
    meanwhile; the messages themselves stay."""

    push_contact: str = "mailto:operator@localhost"
    """Whom push services may turn to (`mailto:` or `https:`)."""
    push_private_addresses: bool = False
    """Whether devices may have endpoints that are not on the internet, such as a test's."""

    peers_file: Path
    """JSON object of service name → list of base URLs; read again whenever it changes. A URL that
    starts with `dns+` stands for every address that its name has."""

    database_password: SecretStr = Field(validation_alias="database_password")
    redis_password: SecretStr = Field(validation_alias="redis_password")
    rabbitmq_password: SecretStr = Field(validation_alias="rabbitmq_password")
    token_key: SecretStr = Field(validation_alias="token_key")
    """Signs users' access tokens (HS256)."""
    service_key: SecretStr = Field(validation_alias="service_key")
    """Signs the tokens that services show each other (HS256)."""
    vapid_key: SecretStr = Field(default=SecretStr(""), validation_alias="vapid_key")
    """Signs what is pushed to devices (32 bytes, base64url); the notifications service has it."""


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        pydantic.ValidationError: a value is missing or wrong.
    """
    return Settings(_secrets_dir=os.environ.get("SERVICE_SECRETS_DIR"))
