"""What the targets that run containers need to know: images, and compose's own settings."""

from __future__ import annotations

from importlib.metadata import version
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from pulse_cli.stack.base import Frozen, Port

Image = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$"
    ),
]
"""A reference such as `postgres:16` or `registry.example.org:5000/pulse/services:1.2`."""


def _subnet(value: object) -> IPv4Network:
    try:
        return IPv4Network(str(value))
    except ValueError:
        raise ValueError("must be an IPv4 network such as 10.213.0.0/24") from None


def _roomy(subnet: IPv4Network) -> IPv4Network:
    if subnet.prefixlen > 24:
        raise ValueError("must hold at least 256 addresses (/24)")
    return subnet


Subnet = Annotated[
    IPv4Network,
    PlainValidator(_subnet),
    AfterValidator(_roomy),
    PlainSerializer(str, when_used="json"),
]


class Images(Frozen):
    """Which image each container is made from; set them to use a registry of your own."""

    base: Image = "python:3.11-slim-bookworm"
    """What the services' image is built on: Python 3.11 to 3.13 as `python3`, with `venv`."""
    services: Image = Field(default_factory=lambda: f"pulse-services:{version('pulse-platform')}")
    """The name of the one image that all services and jobs run from."""
    postgres: Image = "postgres:16-bookworm"
    redis: Image = "redis:7.2-bookworm"
    rabbitmq: Image = "rabbitmq:3.13"
    kong: Image = "kong:3.9"
    envoy: Image = "envoyproxy/envoy:v1.40.0"
    prometheus: Image = "prom/prometheus:v3.1.0"
    grafana: Image = "grafana/grafana:11.4.0"
    jaeger: Image = "jaegertracing/all-in-one:1.64.0"


class Compose(Frozen):
    """The compose target: its network, and what watches the stack."""

    subnet: Subnet = IPv4Network("10.213.0.0/24")
    """The network of the containers, in which each instance has an address of its own."""
    build: bool = True
    """Whether `pulse up` builds `images.services` from this installation, or only pulls it."""
    wheels: str = ""
    """A folder of wheels to build from instead of a package index, for builders without network."""
    observability: bool = False
    """Whether Prometheus, Grafana and a store of traces (Jaeger) run beside the stack."""
    prometheus_port: Port = 9090
    grafana_port: Port = 3000
    jaeger_port: Port = 16686
