"""Envoy's configuration: `envoy -c envoy.json`, with `jwks.json` beside it."""

from __future__ import annotations

import json

from pulse_cli.programs import GATEWAY_CONNECTIONS
from pulse_cli.render.gateway import (
    TOKEN_KEY_BASE64,
    Address,
    Surroundings,
    surroundings,
)
from pulse_cli.render.jinja import fill
from pulse_cli.stack import gateway as policies
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES, ServiceName, Stack

CONFIG = "envoy.json"
JWKS = "jwks.json"


def files(stack: Stack) -> dict[str, str]:
    """Return what Envoy reads on the stack's own target."""
    return around(stack, surroundings(stack))


def around(stack: Stack, where: Surroundings) -> dict[str, str]:
    """Return what Envoy reads in given surroundings; `jwks.json` has a place for the key."""
    config = fill(
        "envoy/envoy.json.j2",
        gateway=stack.gateway,
        refusals={refusal.status: refusal for refusal in stack.gateway.refusals()},
        tokens=stack.tokens,
        routes=ROUTES,
        services=SERVICE_NAMES,
        policies=policies,
        where=where,
        jwks=where.folder + JWKS,
        max_connections=GATEWAY_CONNECTIONS,
    )
    key = {"kty": "oct", "alg": "HS256", "k": TOKEN_KEY_BASE64}
    return {CONFIG: config, JWKS: json.dumps({"keys": [key]}) + "\n"}


def endpoints(where: Surroundings) -> dict[ServiceName, str]:
    """Return, by service, the text of the file that tells Envoy the service's instances.

    Names must have been resolved: Envoy takes addresses alone here.
    """
    return {name: _endpoints(name, found) for name, found in where.instances.items()}


def _endpoints(name: ServiceName, instances: tuple[Address, ...]) -> str:
    return fill("envoy/endpoints.json.j2", service=name, instances=instances)
