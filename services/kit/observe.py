"""What a service shows of itself: metrics, JSON logs and correlation ids."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson
from aiohttp import web
from aiohttp.hdrs import METH_ALL
from aiohttp.typedefs import Handler
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.kit.ids import new_text_id
from services.kit.tracing import TRACE_HEADER, Span, begin, exporting, trace_id

CORRELATION_HEADER = "X-Correlation-ID"
DEGRADED_HEADER = "X-Degraded"
"""On an answer: what was away, so that the answer lacks something or took longer."""

# Dense around the service target of 50 ms, so that a p95 near it is told exactly enough.
_REQUEST_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0),
)

# Dense up to the target of 500 ms from post to feed; then as far as the last retry comes.
_LAG_BUCKETS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 30.0, 120.0, 600.0),
)

REQUESTS = Histogram(
    "http_request_duration_seconds",
    "Time to answer a request",
    ["method", "route", "status"],
    buckets=_REQUEST_BUCKETS,
)
QUERIES = Histogram(
    "db_query_duration_seconds",
    "Time of a query, without the wait for a connection",
    ["query"],
    buckets=_REQUEST_BUCKETS,
)
SLOW_QUERIES = Counter("db_slow_queries", "Queries that took over 100 ms", ["query"])
POOL_WAIT = Histogram(
    "db_pool_wait_seconds",
    "Time that a query waited for a connection, when none was free",
    buckets=_REQUEST_BUCKETS,
)
POOL = Gauge("db_pool_connections", "Connections of a server's pool", ["server", "state"])
READS = Counter(
    "db_reads", "Reads that a replica may serve, by who did (if there is one)", ["server"]
)
REPLICA_LAG = Gauge(
    "db_replica_lag_seconds", "How long ago the replica certainly had everything", ["replica"]
)
SHED = Counter("db_refused", "Statements refused since too many waited for a connection")
CACHE = Counter("cache_requests", "Look-ups in the cache", ["cache", "outcome"])
EXPIRED = Counter("rows_expired", "Rows deleted since they were past their time", ["table"])
EVENT_LAG = Histogram(
    "event_lag_seconds",
    "Time from an event's happening (PostgreSQL's clock as it was written) to its effect here",
    ["type"],
    buckets=_LAG_BUCKETS,
)
EVENTS = Counter("events_handled", "Domain events handled", ["type", "outcome"])
DEGRADED = Counter("degraded", "Times that something was done without what it needs", ["what"])
PEER_CALLS = Counter("peer_calls", "Calls to other services", ["callee", "outcome"])
BREAKER = Gauge("circuit_breaker_state", "0 closed, 1 half open, 2 open", ["callee"])

correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
"""Correlation id of the request or event being served."""

_degraded: ContextVar[set[str] | None] = ContextVar("degraded", default=None)

log = logging.getLogger(__name__)
_children: dict[tuple[str, str, int], Histogram] = {}


def degraded(what: str) -> None:
    """Count a fallback, and name it in the answer to the request that is being served."""
    DEGRADED.labels(what).inc()
    if (named := _degraded.get()) is not None:
        named.add(what)


def degraded_elsewhere(what: str) -> None:
    """Name in the answer to the request that is being served what a peer's `X-Degraded` names."""
    if (named := _degraded.get()) is not None:
        named.update(what.split(", "))


def route_template(request: web.Request) -> str:
    """The path as it was declared (`/api/v1/posts/{post_id}`), so that labels stay few."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Time every request and carry its correlation id; the outermost middleware."""
    started = time.perf_counter()
    given = request.headers.get(CORRELATION_HEADER)
    current = given if given and len(given) <= 128 and given.isprintable() else new_text_id()
    token = correlation_id.set(current)
    named: set[str] = set()
    _degraded.set(named)  # each request sets its own, so that none is left to the next
    parent = request.headers.get(TRACE_HEADER)
    span = _span(request, parent) if parent is not None or exporting() else None
    status = 499  # the caller went away before there was an answer
    try:
        response = await handler(request)
        status = response.status
        if not response.prepared:
            response.headers[CORRELATION_HEADER] = current
            if named:
                response.headers[DEGRADED_HEADER] = ", ".join(sorted(named))
        return response
    finally:
        elapsed = time.perf_counter() - started
        method = request.method if request.method in METH_ALL else "other"
        key = (method, route_template(request), status)
        if status != 101:  # the life of a WebSocket is no time to answer
            child = _children.get(key)
            if child is None:
                child = _children[key] = REQUESTS.labels(*map(str, key))
            child.observe(elapsed)
        if status >= 500:
            # A probe asks again and again while something is away, and is told so each time.
            level = logging.DEBUG if key[1].startswith("/health") else logging.WARNING
            told = (request.method, key[1], status, elapsed)
            log.log(level, "%s %s answered %d in %.3f s", *told)
        if span is not None:
            attributes: dict[str, str | int] = {
                "http.route": key[1],
                "http.response.status_code": status,
                "pulse.correlation_id": current,
            }
            span.end(attributes, failed=status >= 500)
        correlation_id.reset(token)


def _span(request: web.Request, parent: str | None) -> Span | None:
    """The span of a request; probes are none, nor is the life of a WebSocket."""
    if not request.path.startswith(("/api/", "/internal/")) or "Upgrade" in request.headers:
        return None
    return begin(f"{request.method} {route_template(request)}", "SERVER", parent)


async def metrics(_: web.Request) -> web.Response:
    """`GET /metrics` for Prometheus."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _JsonFormatter(logging.Formatter):
    def __init__(self, service: str, instance: int) -> None:
        super().__init__()
        self._origin = {"service": service, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._origin,
        }
        if (current := correlation_id.get()) is not None:
            line["correlation_id"] = current
        if (trace := trace_id()) is not None:
            line["trace_id"] = trace
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging(service: str, instance: int, level: str) -> None:
    """Log JSON lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(service, instance))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
