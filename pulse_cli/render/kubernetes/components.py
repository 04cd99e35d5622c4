"""What overlays add to the base: autoscaling, monitoring, a pooler, external secrets, a mesh."""

from __future__ import annotations

from collections.abc import Iterator

from pulse_cli.render.jinja import fill
from pulse_cli.render.kubernetes import inside
from pulse_cli.render.kubernetes.base import (
    GATEWAY,
    PATHS,
    PORTS,
    callers,
    service,
)
from pulse_cli.render.kubernetes.drain import DRAIN
from pulse_cli.render.kubernetes.kustomize import Patch, component
from pulse_cli.render.kubernetes.stores import (
    PLACES,
    POOLER_REPLICAS,
    explain_connections,
    pooled,
)
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, ServiceName, Stack
from pulse_cli.stack.secrets import GATEWAY as GATEWAY_SECRETS
from pulse_cli.stack.secrets import MIGRATE, owned

WAITING_PER_CONNECTION = 50
"""Requests that a service lets wait for each connection to the database before it refuses more."""


def files(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield every component's files, by path."""
    parts = {
        "stores": inside.files(stack),
        "autoscaling": _autoscaling(stack),
        "monitoring": _monitoring(stack),
        "pgbouncer": _pgbouncer(stack),
        "mesh": _mesh(stack),
    }
    if stack.kubernetes.secret_store is not None:
        parts["external-secrets"] = _external_secrets(stack, stack.kubernetes.secret_store)
    for name, part in parts.items():
        for path, text in part:
            yield f"{name}/{path}", text


def secret_keys(stack: Stack) -> dict[str, tuple[str, ...]]:
    """Return the keys of every Secret that the pods of a managed overlay mount."""
    found: dict[str, tuple[str, ...]] = {name: owned(name) for name in SERVICE_NAMES}
    found["gateway"] = owned(GATEWAY_SECRETS)
    found["migrate"] = owned(MIGRATE)
    if pooled(stack):
        found["pgbouncer"] = tuple(f"{name}_app_password" for name in SERVICE_NAMES)
    return found


def _autoscaling(stack: Stack) -> Iterator[tuple[str, str]]:
    scaling = stack.kubernetes.autoscaling
    scales: dict[str, dict[str, object]] = {
        name: {
            "component": "service",
            "least": max(scaling.least, stack.services[name].replicas),
            "most": max(scaling.most, stack.services[name].replicas),
            "metric": "http_requests_per_second",
            "per_pod": scaling.requests_per_second,
        }
        for name in SERVICE_NAMES
    }
    scales["gateway"] = scales["users"] | {
        "component": GATEWAY,
        "least": scaling.least,
        "most": scaling.most,
        "metric": "gateway_requests_per_second",
        "per_pod": scaling.requests_per_second * len(SERVICE_NAMES),
    }
    yield "autoscaling.yaml", _fill(stack, "autoscaling/autoscaling.yaml.j2", scales=scales)
    yield "adapter-rules.yaml", _fill(stack, "autoscaling/adapter-rules.yaml.j2")
    remove = [{"op": "remove", "path": "/spec/replicas"}]
    yield (
        "kustomization.yaml",
        component(
            stack,
            "Replicas follow the load; the Deployments no longer say how many there are.",
            ["autoscaling.yaml"],
            patches=[Patch("Deployment", remove, name) for name in scales],
        ),
    )


def _monitoring(stack: Stack) -> Iterator[tuple[str, str]]:
    yield "monitors.yaml", _fill(stack, "monitoring/monitors.yaml.j2")
    about = "What the Prometheus operator is told to scrape."
    yield "kustomization.yaml", component(stack, about, ["monitors.yaml"])


def _pgbouncer(stack: Stack) -> Iterator[tuple[str, str]]:
    limit = stack.kubernetes.managed.postgres_connections
    yield (
        "pgbouncer.yaml",
        _fill(
            stack,
            "pgbouncer/pgbouncer.yaml.j2",
            replicas=POOLER_REPLICAS,
            port=PLACES["production"].postgres_port,
            reason=f"Connections: {explain_connections(stack)}; PostgreSQL has {limit}.",
        ),
    )
    about = "Divides the database's connections among more pods than it has connections for."
    yield "kustomization.yaml", component(stack, about, ["pgbouncer.yaml"])


def _external_secrets(stack: Stack, store: str) -> Iterator[tuple[str, str]]:
    yield (
        "secrets.yaml",
        _fill(
            stack,
            "secrets/external.yaml.j2",
            store=store,
            secrets=secret_keys(stack),
            services=SERVICE_NAMES,
        ),
    )
    about = "The Secrets, copied from a store of secrets by the External Secrets operator."
    yield "kustomization.yaml", component(stack, about, ["secrets.yaml"])


def _mesh(stack: Stack) -> Iterator[tuple[str, str]]:
    resources = ["mesh.yaml", *(f"{name}.yaml" for name in SERVICE_NAMES)]
    yield (
        "mesh.yaml",
        _fill(stack, "mesh/mesh.yaml.j2", services=SERVICE_NAMES, pooled=pooled(stack)),
    )
    canary = stack.kubernetes.canary
    for name in SERVICE_NAMES:
        share = canary.percent if canary is not None and canary.service == name else 0
        yield f"{name}.yaml", _fill(stack, "mesh/service.yaml.j2", **_in_mesh(stack, name, share))
    if canary is not None:
        named = next(name for name in SERVICE_NAMES if name == canary.service)
        values = service(stack, named) | {
            "deployment": f"{named}-canary",
            "track": "canary",
            "image": canary.image,
            "replicas": 1,
        }
        yield "canary.yaml", fill("kubernetes/base/deployment.yaml.j2", **values)
        resources.append("canary.yaml")
    injected = [{"op": "add", "path": "/metadata/labels/istio-injection", "value": "enabled"}]
    left_out = [
        {
            "op": "add",
            "path": "/spec/template/metadata/labels/sidecar.istio.io~1inject",
            "value": "false",
        }
    ]
    # Behind a sidecar every client would have the sidecar's address, and so one limit together.
    past = f"{PORTS['http']},{PORTS['https']}"
    in_person = [
        {
            "op": "add",
            "path": "/spec/template/metadata/annotations",
            "value": {"traffic.sidecar.istio.io/excludeInboundPorts": past},
        }
    ]
    yield (
        "kustomization.yaml",
        component(
            stack,
            "Istio: who may call whom by certificate, limits, and canaries.",
            resources,
            patches=[
                Patch("Namespace", injected),
                Patch("Job", left_out),
                Patch("Deployment", in_person, GATEWAY),
            ],
        ),
    )


def _in_mesh(stack: Stack, name: ServiceName, canary: int) -> dict[str, object]:
    own = stack.services[name]
    routes = [route for route in ROUTES if route.service == name]
    paths = [path for route in routes for path in (route.prefix, f"{route.prefix}/*")]
    least = max(stack.kubernetes.autoscaling.least, own.replicas)
    return {
        "name": name,
        "port": own.port,
        "allowed": [*paths, "/health/live"],
        "callers": [caller for caller in callers(name) if caller != GATEWAY],
        "websocket": any(route.websocket for route in routes),
        "timeout": f"{stack.gateway.timeout_seconds:g}s",
        "most_requests": own.pool_size * WAITING_PER_CONNECTION * least,
        "canary": canary,
    }


def _fill(stack: Stack, template: str, **values: object) -> str:
    return fill(
        f"kubernetes/{template}",
        k=stack.kubernetes,
        paths=PATHS,
        ports=PORTS,
        drain=DRAIN,
        **values,
    )
