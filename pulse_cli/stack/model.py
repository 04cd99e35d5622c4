"""The typed, frozen model of a stack, from which every file and process is derived."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pulse_cli.stack.base import Frozen, Host, Port
from pulse_cli.stack.containers import Compose, Images
from pulse_cli.stack.gateway import API, LOGIN, Gateway
from pulse_cli.stack.kubernetes import Kubernetes

ServiceName = Literal["users", "posts", "events", "messaging", "social", "notifications"]
SERVICE_NAMES: tuple[ServiceName, ...] = get_args(ServiceName)

TargetName = Literal["local", "compose", "kubernetes"]
TARGET_NAMES: tuple[TargetName, ...] = get_args(TargetName)


class Route(Frozen):
    """A path prefix and the service behind it.

    `public` paths need no token at the gateway; `probe` is a cheap GET below the prefix that
    `pulse health` sends through the gateway to see that the service itself answers. Where a route
    is `keyed`, every POST honours an `Idempotency-Key`, so that the gateway may repeat it.
    """

    prefix: str
    service: ServiceName
    probe: str
    public: tuple[str, ...] = ()
    websocket: bool = False
    keyed: bool = False

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if not self.prefix.startswith(f"{API}/"):
            raise ValueError(f"the route {self.prefix} is not below {API}")
        for path in (*self.public, urlsplit(self.probe).path):
            if path != self.prefix and not path.startswith(f"{self.prefix}/"):
                raise ValueError(f"{path} is not below the prefix {self.prefix} of its route")
        if self.websocket and self.public:
            raise ValueError(
                f"{self.prefix} is a WebSocket, which needs a token, and has a public path"
            )
        return self


ROUTES: tuple[Route, ...] = (
    Route(
        prefix=f"{API}/auth",
        service="users",
        probe=f"{API}/auth/session",
        public=(f"{API}/auth/register", LOGIN, f"{API}/auth/refresh"),
    ),
    Route(prefix=f"{API}/users", service="users", probe=f"{API}/users/me"),
    Route(prefix=f"{API}/posts", service="posts", probe=f"{API}/posts?limit=1", keyed=True),
    Route(prefix=f"{API}/social", service="social", probe=f"{API}/social/following?limit=1"),
    Route(prefix=f"{API}/feed", service="social", probe=f"{API}/feed?limit=1"),
    Route(
        prefix=f"{API}/conversations",
        service="messaging",
        probe=f"{API}/conversations?limit=1",
        keyed=True,
    ),
    Route(prefix=f"{API}/ws", service="messaging", probe=f"{API}/ws", websocket=True),
    Route(
        prefix=f"{API}/notifications",
        service="notifications",
        probe=f"{API}/notifications?limit=1",
    ),
    Route(prefix=f"{API}/events", service="events", probe=f"{API}/events?limit=1", keyed=True),
)

CALLS: dict[ServiceName, tuple[ServiceName, ...]] = {
    "users": (),
    "posts": ("social", "users"),
    "events": (),
    "messaging": (),
    "social": ("posts",),
    "notifications": ("social", "messaging"),
}
"""Which services each service calls: the dependency graph of start-up and network policy."""

SUBSCRIPTIONS: tuple[str, ...] = (
    "events.blocks",
    "messaging.blocks",
    "notifications.events",
    "posts.authors",
    "posts.blocks",
    "social.posts",
)
"""The queues of domain events that services consume; what a service cannot handle is parked in the
queue of that name with `.parked` behind it."""


class Service(Frozen):
    """One service: instance `i` listens on `port + 100 * i`."""

    port: Port
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    pool_size: Annotated[int, Field(ge=1, le=20)] = 10
    """Most PostgreSQL connections of one instance."""


class Services(Frozen):
    """The six services."""

    users: Service = Service(port=8081)
    posts: Service = Service(port=8082)
    events: Service = Service(port=8083)
    messaging: Service = Service(port=8084)
    social: Service = Service(port=8085)
    notifications: Service = Service(port=8086)

    def __getitem__(self, name: ServiceName) -> Service:
        service: Service = getattr(self, name)
        return service


class Postgres(Frozen):
    """The database server; one database and two roles (owner, application) a service."""

    host: Host = "127.0.0.1"
    port: Port = 15432
    replica: bool = False
    """Whether a streaming standby runs beside it, which serves lists to whoever has not written
    just now; of the local target."""
    replica_port: Port = 15433


class Redis(Frozen):
    """The cache and session store; one namespace and one ACL user a service."""

    host: Host = "127.0.0.1"
    port: Port = 16379


class RabbitMQ(Frozen):
    """The broker. `dist_port` and `epmd_port` are Erlang's own."""

    host: Host = "127.0.0.1"
    port: Port = 15672
    dist_port: Port = 15673
    epmd_port: Port = 15674


class Tokens(Frozen):
    """Access tokens (JWT, HS256) and refresh tokens. A revoked session ends within `access_ttl`."""

    issuer: str = "pulse"
    audience: str = "pulse-api"
    access_ttl_seconds: Annotated[int, Field(ge=10)] = 900
    refresh_ttl_seconds: Annotated[int, Field(ge=60)] = 30 * 86_400


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:4318")
    return text


class Observability(Frozen):
    """Where the services tell of what they do, beside their logs and metrics."""

    otlp_endpoint: Annotated[str, AfterValidator(_url)] | None = None
    """An OpenTelemetry collector (OTLP/HTTP) for spans; without one none are made."""


class Push(Frozen):
    """How notifications are pushed to devices (Web Push)."""

    contact: Annotated[str, Field(pattern=r"^(mailto:.+@.+|https://.+)$")] = (
        "mailto:operator@localhost"
    )
    """Whom push services may turn to about what we send."""
    private_addresses: bool = False
    """Whether devices may have endpoints that are not on the internet; for tests."""


class Retention(Frozen):
    """After how many days what nobody needs any more is deleted."""

    read_notifications_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    unread_notifications_days: Annotated[int, Field(ge=1, le=36_500)] = 180
    deliveries_days: Annotated[int, Field(ge=1, le=36_500)] = 7
    """How long a WebSocket that was away is told of messages that were read elsewhere meanwhile;
    the messages themselves stay."""


class Targets(Frozen):
    """What `pulse bench` holds a stack to (source: the platform's service-level objectives)."""

    p95_ms: Annotated[float, Field(gt=0)] = 200.0
    service_p95_ms: Annotated[float, Field(gt=0)] = 50.0
    database_mean_ms: Annotated[float, Field(gt=0)] = 25.0
    gateway_overhead_p95_ms: Annotated[float, Field(gt=0)] = 10.0
    error_rate: Annotated[float, Field(gt=0, lt=1)] = 0.001
    post_to_feed_p95_ms: Annotated[float, Field(gt=0)] = 500.0
    """From the commit of a post to its id standing in its author's followers' timelines."""


class Stack(Frozen):
    """Everything that is known of a stack before it runs."""

    target: TargetName = "local"
    gateway: Gateway = Gateway()
    services: Services = Services()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    rabbitmq: RabbitMQ = RabbitMQ()
    tokens: Tokens = Tokens()
    observability: Observability = Observability()
    push: Push = Push()
    retention: Retention = Retention()
    targets: Targets = Targets()
    images: Images = Images()
    compose: Compose = Compose()
    kubernetes: Kubernetes = Kubernetes()

    @property
    def max_connections(self) -> int:
        """PostgreSQL connections: every pool at its fullest, a relay each, and ten to spare.

        With a replica each instance also watches how far the server is; the replica's own pools
        and watchers are no more than these.
        """
        pools = (self.services[name] for name in SERVICE_NAMES)
        beside = 2 if self.postgres.replica else 1
        return sum(s.replicas * (s.pool_size + beside) for s in pools) + 10

    @property
    def gateway_url(self) -> str:
        """The gateway's address for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.gateway.host, self.gateway.host)  # noqa: S104
        return (
            f"http://[{host}]:{self.gateway.port}"
            if ":" in host
            else f"http://{host}:{self.gateway.port}"
        )

    def ports(self) -> dict[str, int]:
        """Every port of the stack by what listens on it (`"posts-0"`, `"gateway"`, …)."""
        found: dict[str, int] = {
            "gateway": self.gateway.port,
            "gateway-admin": self.gateway.admin_port,
            "postgres": self.postgres.port,
            "redis": self.redis.port,
            "rabbitmq": self.rabbitmq.port,
            "rabbitmq-dist": self.rabbitmq.dist_port,
            "epmd": self.rabbitmq.epmd_port,
        }
        if self.postgres.replica:
            found["postgres-replica"] = self.postgres.replica_port
        for name in SERVICE_NAMES:
            for i in range(self.services[name].replicas):
                found[f"{name}-{i}"] = self.instance_port(name, i)
        return found

    def instance_port(self, name: ServiceName, index: int) -> int:
        """The port of instance `index` (from 0) of a service."""
        return self.services[name].port + 100 * index

    @model_validator(mode="after")
    def _canary_is_a_service(self) -> Self:
        canary = self.kubernetes.canary
        if canary is not None and canary.service not in SERVICE_NAMES:
            raise ValueError(
                f"kubernetes.canary.service = {canary.service!r} is no service: "
                f"there are {', '.join(SERVICE_NAMES)}"
            )
        return self

    @model_validator(mode="after")
    def _replica_is_local(self) -> Self:
        if self.postgres.replica and self.target != "local":
            raise ValueError(
                f"postgres.replica = true is of the local target, and target = {self.target!r}"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        holders: dict[int, str] = {}
        for name, port in self.ports().items():
            if port > 65_535:
                raise ValueError(f"{name} would use port {port}, which is past 65535")
            if port in holders:
                raise ValueError(f"{name} and {holders[port]} both use port {port}")
            holders[port] = name
        return self
