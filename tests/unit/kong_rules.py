"""What Kong 3.9 takes in `kong.yml`, as far as we write it: its rules where it refuses a file, and
ours where it takes one and does something else than it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

Entity = Mapping[str, Any]

TOP = {"_format_version", "upstreams", "services", "routes", "consumers", "plugins"}
UPSTREAM = {"name", "algorithm", "targets", "healthchecks"}
ACTIVE = {"http_path", "timeout", "healthy", "unhealthy"}
HEALTHY = {"interval", "successes", "http_statuses"}
UNHEALTHY = {"interval", "http_failures", "tcp_failures", "timeouts", "http_statuses"}
SERVICE = {
    "name", "host", "path", "connect_timeout", "read_timeout", "write_timeout", "retries", "routes",
}  # fmt: skip
ROUTE = {"name", "paths", "regex_priority", "strip_path", "preserve_host", "tags", "plugins"}
PHASES = {"rewrite", "access", "header_filter", "body_filter"}
PLUGINS: dict[str, set[str]] = {
    "cors": {"origins", "methods", "headers", "exposed_headers", "max_age"},
    "ip-restriction": {"allow", "deny"},
    "jwt": {
        "key_claim_name", "claims_to_verify", "header_names", "uri_param_names", "cookie_names",
    },
    "post-function": PHASES,
    "pre-function": PHASES,
    "prometheus": {"status_code_metrics", "latency_metrics", "upstream_health_metrics"},
    "rate-limiting": {
        "second", "limit_by", "policy", "fault_tolerant", "hide_client_headers", "redis",
    },
    "request-size-limiting": {"allowed_payload_size", "size_unit"},
    "request-termination": {"status_code"},
    "request-transformer": {"remove"},
}  # fmt: skip
REDIS = {"host", "port", "username", "password", "timeout", "ssl", "ssl_verify", "server_name"}
TARGET = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:]+\]):\d+")


def broken(text: str) -> list[str]:
    """Return what is wrong with a `kong.yml`, one sentence each."""
    return list(_broken(yaml.safe_load(text)))


def _broken(config: Entity) -> Iterator[str]:
    yield from _unknown("the file", config, TOP)
    if not isinstance(config["_format_version"], str):
        yield "_format_version is not quoted"
    services, routes = config["services"], list(config["routes"])
    routes += [route for service in services for route in service["routes"]]
    for kind, entities in (
        ("upstream", config["upstreams"]),
        ("service", services),
        ("route", routes),
    ):
        yield from _twice(kind, [entity["name"] for entity in entities])
    for upstream in config["upstreams"]:
        yield from _upstream(upstream)
    known = {upstream["name"] for upstream in config["upstreams"]}
    for service in services:
        yield from _unknown(service["name"], service, SERVICE)
        if service["host"] not in known:
            yield f"{service['name']} leads to {service['host']}, which is no upstream"
    for route in routes:
        yield from _route(route)
    yield from _plugins("everything", config["plugins"])
    keys = [one["key"] for consumer in config["consumers"] for one in consumer["jwt_secrets"]]
    yield from _twice("jwt key", keys)


def _upstream(upstream: Entity) -> Iterator[str]:
    name = upstream["name"]
    yield from _unknown(name, upstream, UPSTREAM)
    for target in upstream["targets"]:
        if not TARGET.fullmatch(target["target"]):
            yield f"{name} has the target {target['target']} without a port"
    checks = upstream["healthchecks"]
    active = checks["active"]
    yield from _unknown(f"{name} active", active, ACTIVE)
    for state, fields, counters in (
        ("healthy", HEALTHY, {"interval", "successes"}),
        ("unhealthy", UNHEALTHY, {"interval", "http_failures", "tcp_failures", "timeouts"}),
    ):
        yield from _unknown(f"{name} {state}", active[state], fields)
        if not all(active[state].get(counter) for counter in counters):
            yield f"{name} is never found {state}"
    yield from _unknown(f"{name} passive", checks["passive"]["unhealthy"], UNHEALTHY)


def _route(route: Entity) -> Iterator[str]:
    name = route["name"]
    yield from _unknown(name, route, ROUTE)
    yield from _plugins(name, route.get("plugins", ()))
    for path in route["paths"]:
        if path.startswith("~"):
            re.compile(path.removeprefix("~"))
        elif not re.fullmatch(r"[\w/-]*", path):
            yield f"{name} takes {path} literally"


def _plugins(where: str, plugins: Iterable[Entity]) -> Iterator[str]:
    yield from _twice(f"plugin of {where}", [plugin["name"] for plugin in plugins])
    for plugin in plugins:
        name, config = plugin["name"], plugin["config"]
        yield from _unknown(f"{name} of {where}", plugin, {"name", "config"})
        yield from _unknown(f"{name} of {where}", config, PLUGINS[name])
        if name == "cors" and not config["origins"]:
            yield "cors without an origin allows every one"
        if name == "cors" and any(re.fullmatch(r"[\w.:/-]+", one) for one in config["origins"]):
            yield "cors with a plain origin may send it to every page"
        if name == "jwt" and (config["uri_param_names"] or "exp" not in config["claims_to_verify"]):
            yield f"jwt of {where} takes tokens of addresses, or without an end"
        if name == "rate-limiting":
            yield from _unknown(f"redis of {where}", config["redis"], REDIS)
            if config["limit_by"] != "ip" or not config["fault_tolerant"]:
                yield f"rate-limiting of {where} limits something else, or fails without Redis"
        if name == "ip-restriction" and not (config.get("allow") or config.get("deny")):
            yield f"ip-restriction of {where} has no address"


def _unknown(where: str, entity: Entity, known: set[str]) -> Iterator[str]:
    for key in sorted(set(entity) - known):
        yield f"{where} has the unknown field {key}"


def _twice(kind: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"the {kind} {name} is there twice"
