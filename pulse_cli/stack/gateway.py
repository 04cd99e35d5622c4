"""The gateway's policies: what is set of them, and what is the same for every stack.

Kong and Envoy are both rendered from this, and `pulse verify gateway` holds either to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from pulse_cli.stack.base import Frozen, Host, Port

API = "/api/v1"
"""Below it lies the whole API; any other version is told so."""

OTHER_VERSIONS = "/api/v(?:[02-9][0-9]*|1[0-9]+)"
"""Every version but ours, as an expression that Envoy and Kong both read."""

LOGIN = f"{API}/auth/login"
"""Where passwords can be guessed: it has a limit of its own."""

VERSION_HEADER = "X-API-Version"
"""Says on every answer which version of the API it came from."""

CORRELATION_HEADER = "X-Correlation-ID"

SOCKET_TOKEN = "bearer."  # noqa: S105 - what stands before a token
"""A browser's WebSocket can set no header but the protocols it offers: the token is one of them,
with this before it."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Any other method is refused."""

MOST_HEADERS = 100
MOST_HEAD_BYTES = 32_768
"""Of a request's line and headers together. Services read as much in one line."""

IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
"""Methods that are sent to another instance when one dies over them (RFC 9110, 9.2.2). Others are
tried again only where nothing was sent yet, but for a POST with a key where keys are honoured."""

KEY_HEADER = "Idempotency-Key"
"""With it a POST does once whatever it does, however often it is sent; where a route is `keyed`."""

RETRIES = 2
HEALTH_PATH = "/health/live"
HEALTH_SECONDS = 1
"""How often each instance is asked, and how long it may take to answer."""
UNHEALTHY_AFTER = 2
"""Failed health checks, or failed connections of requests, until an instance is left out."""

CLIENT_HEADER = "X-Forwarded-For"
"""Tells a service the address of its client; and the gateway, where it trusts who says so."""

GONE_SECONDS = 3
"""How long an instance's machine may acknowledge nothing until it is taken for gone, and what was
sent to it is lost or sent again. Envoy looks; Kong waits for the answer's whole time."""

FORGED = (
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
    "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Real-IP", "X-Client-IP", "True-Client-IP",
    "X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Envoy-Retry-On",
    "X-Envoy-Upstream-Rq-Timeout-Ms", "X-User-Id", "X-User", "X-Username", "X-Session-Id",
    "X-Roles", "X-Service", "X-Internal-Secret", "X-Jwt-Sub", "X-Jwt-Payload",
    "X-Authenticated-Userid", "X-Consumer-Id", "X-Consumer-Username", "X-Consumer-Custom-Id",
    "X-Credential-Identifier", "X-Anonymous-Consumer",
)  # fmt: skip
"""Headers of clients that reach no service: who a request comes from is told by its token and its
address alone."""

BANNERS = ("Server", "Via", "X-Powered-By")
"""Headers of answers that tell of programs and their versions, and reach no client."""

CORS_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CORS_HEADERS = (
    "authorization", "content-type", "idempotency-key", "if-match", "traceparent",
    "x-correlation-id", "x-request-id",
)  # fmt: skip
CORS_EXPOSED = (
    "etag", "retry-after", "x-api-version", "x-correlation-id", "x-degraded", "x-request-id",
)  # fmt: skip
CORS_SECONDS = 600
"""How long a browser may remember what a preflight said."""

ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


class Description(NamedTuple):
    """A file that the gateway itself answers with: the API's description."""

    path: str
    file: str
    content_type: str


DESCRIPTIONS = (
    Description(f"{API}/openapi.json", "openapi.json", "application/json"),
    Description(f"{API}/docs", "docs.html", "text/html; charset=utf-8"),
)

DESCRIPTION_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load (Content-Security-Policy): nothing."""


class Refusal(NamedTuple):
    """What the gateway answers by itself, as a problem document."""

    status: int
    code: str
    title: str
    detail: str


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError:
        raise ValueError("must be an IP network such as 10.0.0.0/8") from None


def _origin(text: str) -> str:
    if not ORIGIN.fullmatch(text):
        raise ValueError("must be an origin such as https://app.example.org, without a path")
    return text


Network = Annotated[
    IPv4Network | IPv6Network, PlainValidator(_network), PlainSerializer(str, when_used="json")
]
Origin = Annotated[str, AfterValidator(_origin)]
GatewayKind = Literal["kong", "envoy"]


class Gateway(Frozen):
    """What the gateway listens on and the policies that it enforces.

    Rates are of one client address. Envoy counts in each of its processes; Kong counts in Redis,
    for all of its own together.
    """

    kind: GatewayKind = "kong"
    """Which program enforces them where containers run; the local target has Envoy alone."""
    host: Host = "127.0.0.1"
    port: Port = 8000
    admin_port: Port = 8001
    """Where its metrics are, for Prometheus."""
    requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """Sustained, and as many at once; never more than twice as many within a second, for Kong
    counts by the clock and Envoy refills as time passes."""
    logins_per_second: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """The same of log-ins alone; by default a tenth, and at least one."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 1_048_576
    cors_origins: tuple[Origin, ...] = ("http://localhost:3000",)
    """Whose pages may call the API from a browser."""
    allow: tuple[Network, ...] = ()
    """Who may call anything but `/health/…`; by default everybody."""
    deny: tuple[Network, ...] = ()
    """Who may call nothing, even if allowed."""
    trusted_proxies: tuple[Network, ...] = ()
    """Load balancers before the gateway, whose `X-Forwarded-For` tells who the client is: read from
    its end, the first address that is not theirs. By default nobody's, and the client is the peer.
    Of what else they forward nothing is believed."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    websocket_idle_seconds: Annotated[float, Field(ge=60)] = 300.0
    """How long a WebSocket may be silent. Messaging sends a ping every 20 s."""

    @property
    def logins(self) -> int:
        """Log-ins a second."""
        return self.logins_per_second or max(1, self.requests_per_second // 10)

    def refusals(self) -> Iterator[Refusal]:
        """Yield what the gateway refuses, one a status."""
        rate = f"One client may send {self.requests_per_second} requests a second"
        yield Refusal(400, "gateway_bad_request", "Bad Request", "This is no acceptable HTTP.")
        yield Refusal(
            401, "gateway_unauthorized", "Unauthorized", "Send an access token of yours as Bearer."
        )
        yield Refusal(
            403, "gateway_forbidden", "Forbidden", "This client or token is not allowed here."
        )
        yield Refusal(404, "gateway_no_route", "Not Found", "No service answers at this path.")
        yield Refusal(
            405,
            "gateway_method_not_allowed",
            "Method Not Allowed",
            f"Methods are {', '.join(METHODS)}.",
        )
        yield Refusal(
            408, "gateway_timeout", "Request Timeout", "The request did not arrive in time."
        )
        yield Refusal(
            413,
            "gateway_body_too_large",
            "Content Too Large",
            f"The body may have at most {self.max_body_bytes} bytes.",
        )
        yield Refusal(
            429,
            "gateway_rate_limited",
            "Too Many Requests",
            f"{rate}, {self.logins} of them log-ins.",
        )
        yield Refusal(
            431,
            "gateway_headers_too_large",
            "Request Header Fields Too Large",
            f"A request's line and headers may have {MOST_HEAD_BYTES} bytes, and {MOST_HEADERS} "
            "headers at most.",
        )
        yield Refusal(
            503,
            "gateway_unavailable",
            "Service Unavailable",
            "The service behind this path cannot be reached; try again shortly.",
        )
        yield Refusal(
            504,
            "gateway_timeout",
            "Gateway Timeout",
            "The service behind this path did not answer in time.",
        )

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        if self.logins > self.requests_per_second:
            raise ValueError(
                f"gateway.logins_per_second = {self.logins} is above "
                f"gateway.requests_per_second = {self.requests_per_second}"
            )
        return self

    @model_validator(mode="after")
    def _lists_agree(self) -> Self:
        for allowed in self.allow:
            for denied in self.deny:
                if allowed.version == denied.version and allowed.subnet_of(denied):  # type: ignore[arg-type]
                    raise ValueError(
                        f"gateway.allow has {allowed} and gateway.deny {denied}, which shuts it out"
                    )
        whole = next((one for one in self.trusted_proxies if one.prefixlen == 0), None)
        if whole is not None:
            raise ValueError(
                f"gateway.trusted_proxies has {whole}: everybody could choose the address that "
                "limits and lists go by; name the load balancers' own networks"
            )
        for name in ("allow", "deny", "trusted_proxies", "cors_origins"):
            values = getattr(self, name)
            twice = next((one for i, one in enumerate(values) if one in values[:i]), None)
            if twice is not None:
                raise ValueError(f"gateway.{name} has {twice} twice")
        return self


UNKNOWN_VERSION = Refusal(
    404, "gateway_unknown_version", "Not Found", f"This API is {API}; there is no such version."
)
ERROR = Refusal(500, "gateway_error", "Gateway Error", "The gateway could not serve the request.")
"""What stands for every status that has no refusal of its own."""
