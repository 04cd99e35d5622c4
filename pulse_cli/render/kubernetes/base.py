"""The base: six services, the gateway in front of them, the migrations, who may reach whom."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pulse_cli.programs import service_environment
from pulse_cli.render import kong
from pulse_cli.render.gateway import REDIS_PASSWORD, TOKEN_KEY, Address, Surroundings
from pulse_cli.render.jinja import fill
from pulse_cli.render.kubernetes.drain import DRAIN
from pulse_cli.render.kubernetes.kustomize import Generated, overlay
from pulse_cli.stack.model import CALLS, ROUTES, SERVICE_NAMES, ServiceName, Stack

SECRETS_FOLDER = "/run/secrets/pulse"
PEERS_FOLDER = "/etc/pulse/peers"
TLS_FOLDER = "/etc/pulse/tls"
PATHS = {
    "secrets": SECRETS_FOLDER,
    "peers": PEERS_FOLDER,
    "ca": "/etc/pulse/store-ca",
    "tls": TLS_FOLDER,
}
PORTS = {"http": 8000, "https": 8443, "status": 8100}
"""What the gateway's pods listen on; no port below 1024, which needs a capability."""

GATEWAY = "gateway"
ABOUT = "What all overlays share; each adds where the stores are and what the gateway listens on."
PUSHES: tuple[ServiceName, ...] = ("notifications",)
"""Who sends to devices' push services, which are on the internet."""

STORE_SETTINGS = re.compile(
    r"SERVICE_(?:(?:DATABASE|REDIS|RABBITMQ|REPLICA)_(?:HOST|PORT|SSLMODE)|RABBITMQ_(?:USER|VHOST))"
)
"""Settings that an overlay says, for it knows where the stores are."""

API_FOLDER = "/etc/pulse/api"
"""Where the gateway finds the API's description, which it answers with itself."""

KONG_CONFIG = "/kong/"


def files(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield the base's files, by path."""
    common: dict[str, object] = {"k": stack.kubernetes, "paths": PATHS, "drain": DRAIN}
    yield "namespace.yaml", fill("kubernetes/base/namespace.yaml.j2", **common)
    yield "network.yaml", fill("kubernetes/base/network.yaml.j2", **common)
    yield (
        "migrate.yaml",
        fill(
            "kubernetes/base/migrate.yaml.j2",
            job=migration_job(stack),
            image=stack.images.services,
            command=command("services.migrate"),
            **common,
        ),
    )
    for name in SERVICE_NAMES:
        yield f"{name}.yaml", fill("kubernetes/base/service.yaml.j2", **service(stack, name))
        yield f"settings/{name}.env", environment(stack, name)
    yield "settings/peers.json", json.dumps(peers("dns+http://{}-pods:{}", stack), indent=2) + "\n"
    yield (
        "gateway.yaml",
        fill(
            "kubernetes/base/gateway.yaml.j2",
            image=stack.images.kong,
            replicas=1,
            ports=PORTS,
            calls=routed(stack),
            marks={TOKEN_KEY: "token_key", REDIS_PASSWORD: "redis_password"},
            api=API_FOLDER,
            describe=[*command("services.openapi"), API_FOLDER],
            services_image=stack.images.services,
            environment=kong_environment(stack),
            **common,
        ),
    )
    maps = {f"{name}-settings": Generated(envs=[f"settings/{name}.env"]) for name in SERVICE_NAMES}
    maps["peers"] = Generated(files=["settings/peers.json"])
    services = [f"{name}.yaml" for name in SERVICE_NAMES]
    resources = ["namespace.yaml", "network.yaml", "migrate.yaml", *services, "gateway.yaml"]
    yield "kustomization.yaml", overlay(stack, ABOUT, resources, (), maps)


def service(stack: Stack, name: ServiceName) -> dict[str, object]:
    """Return what the templates of a service are filled with."""
    return {
        "k": stack.kubernetes,
        "paths": PATHS,
        "drain": DRAIN,
        "name": name,
        "deployment": name,
        "track": "stable",
        "image": stack.images.services,
        "command": command(f"services.{name}"),
        "replicas": stack.services[name].replicas,
        "port": stack.services[name].port,
        "callers": callers(name),
        "calls": {callee: stack.services[callee].port for callee in CALLS[name]},
        "pushes": name in PUSHES,
        "otlp_port": _otlp_port(stack),
    }


def callers(name: ServiceName) -> list[str]:
    """Return whose pods may send requests to a service: the gateway's and those that call it."""
    found: list[str] = [GATEWAY] if any(route.service == name for route in ROUTES) else []
    return found + [caller for caller in SERVICE_NAMES if name in CALLS[caller]]


def routed(stack: Stack) -> dict[str, int]:
    """Return the services that the gateway sends requests to, and their ports."""
    behind = {route.service for route in ROUTES}
    return {name: stack.services[name].port for name in SERVICE_NAMES if name in behind}


def command(module: str) -> list[str]:
    """Return what the image's entry point, `python -P -m`, is told to run."""
    return [module]


def peers(pattern: str, stack: Stack) -> dict[str, list[str]]:
    """Return where services find each other, by a pattern of name and port."""
    return {name: [pattern.format(name, stack.services[name].port)] for name in SERVICE_NAMES}


def environment(stack: Stack, name: ServiceName) -> str:
    """Return a service's settings as lines of `KEY=value`, but for those of the stores."""
    values = service_environment(stack, name, 0, Path("/"))
    values = {key: value for key, value in values.items() if not STORE_SETTINGS.fullmatch(key)}
    values |= {
        "SERVICE_HOST": "0.0.0.0",  # noqa: S104 - the pod's own network
        "SERVICE_PORT": str(stack.services[name].port),
        "SERVICE_SECRETS_DIR": SECRETS_FOLDER,
        "SERVICE_PEERS_FILE": f"{PEERS_FOLDER}/peers.json",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def surroundings(
    stack: Stack, pattern: str, redis: Address, redis_user: str = GATEWAY, redis_tls: bool = False
) -> Surroundings:
    """Return what surrounds the gateway's pods, with services named by a pattern."""
    return Surroundings(
        listen=Address("0.0.0.0", PORTS["http"]),  # noqa: S104 - the pod's own network
        admin=Address("0.0.0.0", PORTS["status"]),  # noqa: S104
        instances={
            name: (Address(pattern.format(name), stack.services[name].port),)
            for name in SERVICE_NAMES
        },
        # A Service's own address, if it is the pods' that requests go to.
        fallback={
            name: Address(name, stack.services[name].port)
            for name in SERVICE_NAMES
            if pattern.format(name) != name
        },
        redis=redis,
        redis_user=redis_user,
        redis_tls=redis_tls,
        folder=KONG_CONFIG,
        description=f"{API_FOLDER}/",
    )


def kong_environment(stack: Stack) -> dict[str, str]:
    """Return Kong's settings, but for what it listens on, which an overlay says."""
    settings = kong.settings(stack, surroundings(stack, "{}", Address("redis", 6379)))
    del settings["proxy_listen"]
    settings |= {
        "prefix": "/kong_prefix",
        "nginx_worker_processes": "2",
        "nginx_main_worker_shutdown_timeout": f"{DRAIN.gateway}s",
    }
    return {f"KONG_{name.upper()}": value for name, value in settings.items()}


def migration_job(stack: Stack) -> str:
    """Return the Job's name: the image's tag, and a digest of all that the Job is made from.

    A Job cannot be changed, so another image or other settings are another Job.
    """
    k = stack.kubernetes
    made_from = [stack.images.services, k.managed.model_dump_json(), k.model_dump_json()]
    digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:8]
    tag = stack.images.services.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"
    plain = re.sub(r"[^a-z0-9]+", "-", tag.lower()).strip("-")[:30].rstrip("-")
    return f"migrate-{plain}-{digest}"


def _otlp_port(stack: Stack) -> int | None:
    endpoint = stack.observability.otlp_endpoint
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]
