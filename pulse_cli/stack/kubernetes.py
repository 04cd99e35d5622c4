"""What the Kubernetes target needs to know: where it runs, how it grows, what a cloud runs for it.

Names of services are checked by the model, which knows them.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from pulse_cli.stack.base import Frozen
from pulse_cli.stack.containers import Image

MOST_WORKERS = 100
"""Pods that make load in one `pulse bench`."""

Overlay = Literal["dev", "production", "aws", "gcp", "azure", "istio"]

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("must be at most 63 small letters, digits and inner hyphens")
    return text


def _host(text: str) -> str:
    parts = text.split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(part) for part in parts):
        raise ValueError("must be a host name such as db.example.org, without port or scheme")
    return text


def _network(value: object) -> IPv4Network:
    try:
        network = ip_network(str(value))
    except ValueError:
        network = None
    if not isinstance(network, IPv4Network):
        raise ValueError("must be an IPv4 network such as 10.0.0.0/8")
    return network


Label = Annotated[str, AfterValidator(_label)]
HostName = Annotated[str, AfterValidator(_host)]
Cidr = Annotated[IPv4Network, PlainValidator(_network), PlainSerializer(str, when_used="json")]


class Managed(Frozen):
    """The stores that a cloud runs, for every overlay but `dev`; ports and TLS are the overlay's.

    Every connection to them is encrypted and checks whom it reached.
    """

    postgres: HostName | None = None
    postgres_user: str = "pulse"
    """Who may create roles and databases there; the migrations alone use it."""
    postgres_connections: Annotated[int, Field(ge=50, le=10_000)] = 400
    """Its `max_connections`. Services that may need more are given PgBouncer."""
    postgres_replica: HostName | None = None
    """A standby that serves reads; without one the server is asked for all."""
    redis: HostName | None = None
    rabbitmq: HostName | None = None
    rabbitmq_user: str = "pulse"
    rabbitmq_vhost: str = "pulse"
    networks: tuple[Cidr, ...] = (
        IPv4Network("10.0.0.0/8"),
        IPv4Network("172.16.0.0/12"),
        IPv4Network("192.168.0.0/16"),
    )
    """Where they are: the only addresses beside the cluster's own that pods reach them at."""
    private_ca: bool | None = None
    """Whether their certificates come from an authority of their own, whose certificate the
    ConfigMap `store-ca` holds as `ca.pem`; by default they do with aws and gcp."""


class Autoscaling(Frozen):
    """How far each service grows by itself, and when; in every overlay but `dev`."""

    least: Annotated[int, Field(ge=2, le=100)] = 2
    most: Annotated[int, Field(ge=2, le=100)] = 6
    cpu_percent: Annotated[int, Field(ge=10, le=100)] = 70
    """Of the CPU time that a pod requests."""
    requests_per_second: Annotated[int, Field(ge=1)] = 150
    """Of one pod (metric `http_requests_per_second`)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"must not start at {self.least} replicas and end at {self.most}")
        return self


class Pod(Frozen):
    """What one pod is given."""

    cpu_millicores: Annotated[int, Field(ge=10, le=64_000)]
    """Requested, and the measure of autoscaling; twice that is the most it may use."""
    memory_mib: Annotated[int, Field(ge=32, le=1 << 20)]
    """Requested and the most it may use."""


class Canary(Frozen):
    """A second version of one service that gets part of its requests; in overlay `istio`."""

    service: str
    image: Image
    percent: Annotated[int, Field(ge=0, le=100)] = 10
    """Of the requests to the service."""


class Kubernetes(Frozen):
    """The Kubernetes target."""

    context: str | None = None
    """Which of kubectl's contexts; by default the one that is current at the first `pulse up`."""
    namespace: Label = "pulse"
    overlay: Overlay = "dev"
    """Which of the rendered overlays `pulse up` applies."""
    timeout_seconds: Annotated[int, Field(ge=10, le=3600)] = 300
    """How long `pulse up` waits for each stage."""
    service_pod: Pod = Pod(cpu_millicores=250, memory_mib=256)
    gateway_pod: Pod = Pod(cpu_millicores=500, memory_mib=512)
    autoscaling: Autoscaling = Autoscaling()
    managed: Managed = Managed()
    secret_store: Label | None = None
    """A ClusterSecretStore of External Secrets that holds the secrets; by default `pulse up` makes
    the Secrets from this folder's own."""
    monitoring: bool = True
    """Whether the overlays other than `dev` hold ServiceMonitors of the Prometheus operator."""
    monitoring_namespace: Label = "monitoring"
    """Where Prometheus runs, which may scrape the pods."""
    canary: Canary | None = None
    bench_workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 2
    """Pods that make load in `pulse bench`, beside the one that leads them; more where the
    gateway's limit of what one address may send asks for them."""
    pgbouncer_image: Image = "edoburu/pgbouncer:v1.24.1-p1"
    bench_image: Image | None = None
    """What the load's pods run; by default `pulse-bench` of this version, which is built from what
    `pulse render docker-bench` writes."""

    @model_validator(mode="after")
    def _canary_where_it_works(self) -> Self:
        if self.canary is not None and self.overlay != "istio":
            raise ValueError(
                f"kubernetes.canary needs kubernetes.overlay = istio, not {self.overlay}: "
                "only a mesh divides requests by percent"
            )
        return self
