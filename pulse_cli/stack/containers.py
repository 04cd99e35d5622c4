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
        # Letters of every alphabet (\w) would make it slow: 80 ms of each command's start.
        pattern=r"^[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
        r"(?:@sha256:[0-9a-f]{64})?$"
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

    def __getitem__(self, name: str) -> str:
        """Return the image of that name. Raises `AttributeError`."""
        image: str = getattr(self, name)
        return image


class Limit(Frozen):
    """The most that one container may use."""

    cpus: Annotated[float, Field(ge=0.1, le=256)] = 1.0
    memory_mb: Annotated[int, Field(ge=64, le=1 << 20)] = 512


class Limits(Frozen):
    """What each kind of container may use; an engine refuses more CPUs than it has."""

    service: Limit = Limit()
    gateway: Limit = Limit()
    postgres: Limit = Limit(memory_mb=1024)
    redis: Limit = Limit()
    rabbitmq: Limit = Limit(memory_mb=1024)
    observer: Limit = Limit()


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
    limits: Limits = Limits()

    def store_address(self, place: int) -> str:
        """Return the address of the store at a place (from 0) in the order of the stores."""
        return str(self.subnet[2 + place])

    def instance_address(self, place: int, instance: int) -> str:
        """Return the address of an instance (0 to 15) of the service at a place (from 0)."""
        return str(self.subnet[16 + 16 * place + instance])

    @property
    def unassigned(self) -> IPv4Network:
        """Return the part of the network that none of these addresses is in: its upper half."""
        return list(self.subnet.subnets(prefixlen_diff=1))[1]
