"""Prometheus' configuration: `prometheus --config.file=prometheus.yml`, with its targets beside."""

from __future__ import annotations

import json

from pulse_cli.programs import LOOPBACK
from pulse_cli.render.jinja import fill
from pulse_cli.stack.gateway import GatewayKind
from pulse_cli.stack.model import SERVICE_NAMES, Stack

METRICS: dict[GatewayKind, str] = {"kong": "/metrics", "envoy": "/stats/prometheus"}
"""Where each gateway tells its metrics, on the stack's `gateway.admin_port`."""


def files(stack: Stack) -> dict[str, str]:
    """Return what Prometheus reads, on the machine of the stack's own target."""
    return on_this_machine(stack, "envoy" if stack.target == "local" else stack.gateway.kind)


def on_this_machine(stack: Stack, kind: GatewayKind) -> dict[str, str]:
    """Return what Prometheus reads where instances and gateway are on loopback.

    The instances are in a file of their own, so that scaling a service needs no reload.
    """
    config = fill(
        "prometheus/prometheus.yml.j2",
        admin=f"{LOOPBACK}:{stack.gateway.admin_port}",
        metrics=METRICS[kind],
    )
    targets = json.dumps(_scraped(stack), indent=2) + "\n"
    return {"prometheus.yml": config, "prometheus-services.json": targets}


def _scraped(stack: Stack) -> list[dict[str, object]]:
    """Return every instance of every service as Prometheus' file of targets lists them."""
    return [
        {
            "targets": [f"{LOOPBACK}:{stack.instance_port(name, index)}"],
            "labels": {"service": name, "instance": f"{name}-{index}"},
        }
        for name in SERVICE_NAMES
        for index in range(stack.services[name].replicas)
    ]
