"""The overlays: the base, where the stores are, and what each needs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pulse_cli.render import kong
from pulse_cli.render.gateway import Address
from pulse_cli.render.jinja import fill
from pulse_cli.render.kubernetes import inside
from pulse_cli.render.kubernetes.base import (
    GATEWAY,
    PATHS,
    PORTS,
    TLS_FOLDER,
    peers,
    surroundings,
)
from pulse_cli.render.kubernetes.kustomize import Generated, Patch, overlay
from pulse_cli.render.kubernetes.stores import (
    PLACES,
    SESSION_SUFFIX,
    STATEMENT_MILLISECONDS,
    UNSET,
    Place,
    ca_file,
    managed,
    migration,
    pooled,
    pools,
)
from pulse_cli.render.kubernetes.stores import inside as inside_settings
from pulse_cli.stack.model import Stack

BASE = "../../base"
PODS = "{}-pods"
"""The name that resolves to every pod of a service."""

PLAIN = f"0.0.0.0:{PORTS['http']} reuseport backlog=16384"
ENCRYPTED = f"0.0.0.0:{PORTS['https']} http2 ssl reuseport backlog=16384"
"""What Kong listens on."""

MOST_CLIENTS = 2_000
"""Connections of services to one PgBouncer."""


def files(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every overlay's files, by path."""
    for path, text in _dev(stack):
        yield f"dev/{path}", text
    for name, place in PLACES.items():
        for path, text in _cloud(stack, place):
            yield f"{name}/{path}", text
    for path, text in _istio(stack):
        yield f"istio/{path}", text


def _dev(stack: Stack) -> Iterator[tuple[str, str]]:
    settings = {
        "stores.env": _env(inside_settings()),
        "migrate.env": _env(migration(stack, None)),
        "gateway.env": _env({"KONG_PROXY_LISTEN": PLAIN}),
        "kong.yml": _kong(stack, PODS, None),
    }
    for name, text in settings.items():
        yield f"settings/{name}", text
    yield (
        "kustomization.yaml",
        overlay(
            stack,
            "For development: the stores in the cluster, no autoscaling, images as they are there.",
            [BASE],
            ["stores"],
            _maps(settings),
            [
                Patch("Deployment", [_pulled("containers/0")]),
                Patch("Deployment", [_pulled(f"initContainers/{i}") for i in (0, 1)], "gateway"),
                Patch("Job", [_pulled("containers/0")]),
            ],
        ),
    )


def _cloud(stack: Stack, place: Place) -> Iterator[tuple[str, str]]:
    k = stack.kubernetes
    settings = {
        "stores.env": _env(managed(stack, place)),
        "migrate.env": _env(migration(stack, place)),
        "gateway.env": _env(_edge(stack, place)),
        "kong.yml": _kong(stack, PODS, place),
    }
    components = ["autoscaling"]
    if k.monitoring:
        components.append("monitoring")
    if pooled(stack):
        components.append("pgbouncer")
        settings["pgbouncer.ini"] = _pgbouncer(stack, place)
    if k.secret_store is not None:
        components.append("external-secrets")
    for name, text in settings.items():
        yield f"settings/{name}", text
    yield "reach.yaml", _reach(stack, place)
    yield (
        "kustomization.yaml",
        overlay(
            stack,
            place.about,
            [BASE, "reach.yaml"],
            components,
            _maps(settings),
            [Patch("Service", _balancer(place), "gateway")],
        ),
    )


def _istio(stack: Stack) -> Iterator[tuple[str, str]]:
    place = PLACES["production"]
    # A sidecar divides requests itself, and knows services by their own names alone.
    yield "settings/kong.yml", _kong(stack, "{}", place)
    yield "settings/peers.json", json.dumps(peers("http://{}:{}", stack), indent=2) + "\n"
    yield (
        "kustomization.yaml",
        overlay(
            stack,
            "Production in an Istio mesh.",
            ["../production"],
            ["mesh"],
            {
                "gateway-settings": Generated(files=["settings/kong.yml"], replaces=True),
                "peers": Generated(files=["settings/peers.json"], replaces=True),
            },
        ),
    )


def _maps(settings: Mapping[str, str]) -> dict[str, Generated]:
    maps = {
        "stores": Generated(envs=["settings/stores.env"]),
        "migrate-settings": Generated(envs=["settings/migrate.env"]),
        "gateway-listen": Generated(envs=["settings/gateway.env"]),
        "gateway-settings": Generated(files=["settings/kong.yml"]),
    }
    if "pgbouncer.ini" in settings:
        maps["pgbouncer-settings"] = Generated(files=["settings/pgbouncer.ini"])
    return maps


def _pulled(container: str) -> dict[str, object]:
    return {
        "op": "replace",
        "path": f"/spec/template/spec/{container}/imagePullPolicy",
        "value": "IfNotPresent",
    }


def _balancer(place: Place) -> list[Mapping[str, object]]:
    """The gateway's Service at the cloud's edge: TLS alone, clients' own addresses kept."""
    port = {"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}
    operations: list[Mapping[str, object]] = [
        {"op": "replace", "path": "/spec/type", "value": "LoadBalancer"},
        {"op": "replace", "path": "/spec/ports", "value": [port]},
        {"op": "add", "path": "/spec/externalTrafficPolicy", "value": "Local"},
    ]
    if place.annotations:
        value = dict(place.annotations)
        operations.append({"op": "add", "path": "/metadata/annotations", "value": value})
    return operations


def _edge(stack: Stack, place: Place) -> dict[str, str]:
    return {
        "KONG_PROXY_LISTEN": f"{PLAIN}, {ENCRYPTED}",
        "KONG_SSL_CERT": f"{TLS_FOLDER}/tls.crt",
        "KONG_SSL_CERT_KEY": f"{TLS_FOLDER}/tls.key",
        "KONG_LUA_SSL_TRUSTED_CERTIFICATE": ca_file(stack, place),
    }


def _kong(stack: Stack, pattern: str, place: Place | None) -> str:
    if place is None:
        where = surroundings(stack, pattern, Address("redis", inside.PORTS["redis"]))
    else:
        redis = Address(stack.kubernetes.managed.redis or UNSET, place.redis_port)
        where = surroundings(stack, pattern, redis, place.redis_user or GATEWAY, redis_tls=True)
    return kong.around(stack, where)[kong.CONFIG]


def _pgbouncer(stack: Stack, place: Place) -> str:
    return fill(
        "kubernetes/pgbouncer/pgbouncer.ini.j2",
        host=stack.kubernetes.managed.postgres or UNSET,
        port=place.postgres_port,
        pools=pools(stack),
        suffix=SESSION_SUFFIX,
        statement_milliseconds=STATEMENT_MILLISECONDS,
        max_clients=MOST_CLIENTS,
        tls_mode=place.sslmode,
        ca=ca_file(stack, place),
        paths=PATHS,
    )


def _reach(stack: Stack, place: Place) -> str:
    """Who may leave the cluster for which managed store."""
    ports = {
        "postgres": place.postgres_port,
        "redis": place.redis_port,
        "rabbitmq": place.rabbitmq_port,
    }
    networks = [str(network) for network in stack.kubernetes.managed.networks]
    reach: dict[str, list[dict[str, object]]] = {
        kind: [{"name": name, "port": ports[name], "networks": networks} for name in stores]
        for kind, stores in inside.REACH.items()
    }
    if pooled(stack):
        pooler: dict[str, object] = {"name": "pgbouncer", "port": 6432, "networks": ()}
        reach["service"][0] = pooler
    return fill("kubernetes/stores/reach.yaml.j2", reach=reach, k=stack.kubernetes)


def _env(values: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())
