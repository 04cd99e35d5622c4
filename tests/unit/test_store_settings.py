"""How a service reaches its stores: through a pooler, and with TLS."""

import ssl
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from psycopg2.extensions import parse_dsn

from services.kit.bus import Bus
from services.kit.cache import open_redis
from services.kit.db import dsn
from services.kit.outbox import Outbox
from services.kit.settings import Settings


def settings(**values: object) -> Settings:
    required = {
        "name": "posts",
        "port": 8082,
        "database_host": "db",
        "database_name": "posts",
        "database_user": "posts_app",
        "redis_host": "cache",
        "redis_user": "posts",
        "rabbitmq_host": "broker",
        "rabbitmq_user": "pulse",
        "rabbitmq_vhost": "pulse",
        "token_issuer": "pulse",
        "token_audience": "pulse-api",
        "peers_file": Path("peers.json"),
        **{f"{store}_password": "secret" for store in ("database", "redis", "rabbitmq")},
        "token_key": "secret",
        "service_key": "secret",
    }
    return Settings.model_validate(required | values)


def test_only_a_session_of_its_own_goes_past_a_pooler_of_transactions() -> None:
    pooled = settings(database_session_suffix="_session")
    assert parse_dsn(dsn(pooled))["dbname"] == "posts"
    assert parse_dsn(dsn(pooled, session=True))["dbname"] == "posts_session"
    assert parse_dsn(dsn(settings(), session=True))["dbname"] == "posts"


def test_the_database_is_checked_against_the_authorities_that_are_set() -> None:
    strict = settings(database_sslmode="verify-ca", store_ca="/ca.pem")
    found = parse_dsn(dsn(strict))
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-ca", "/ca.pem")
    assert "sslrootcert" not in parse_dsn(dsn(settings()))


async def test_redis_is_reached_with_tls_and_its_certificate_is_checked() -> None:
    async with open_redis(settings(redis_tls=True, store_ca="/ca.pem")) as redis:
        options = redis.connection_pool.connection_kwargs
        assert options["ssl_ca_certs"] == "/ca.pem"
        pool: Any = redis.connection_pool
        tls = pool.make_connection().ssl_context
        assert tls.check_hostname
        assert tls.cert_reqs is ssl.CERT_REQUIRED


@pytest.mark.parametrize("tls", [True, False])
async def test_rabbitmq_is_reached_with_tls_where_it_is_set(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    async def connect(**values: object) -> None:
        asked.update(values)

    monkeypatch.setattr(aio_pika, "connect", connect)
    wanted = settings(rabbitmq_tls=tls)
    outbox: Any = Outbox.__new__(Outbox)
    await Bus(wanted, outbox, [])._connect()
    assert asked["ssl"] is tls
    context = asked["ssl_context"]
    assert (context is not None) is tls
    assert not tls or (context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname)
