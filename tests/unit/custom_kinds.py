"""What we use of kinds that Kubernetes does not define: the fields, and no others.

Written after the operators' own definitions: Prometheus operator 0.8x (`monitoring.coreos.com/v1`),
External Secrets (`external-secrets.io/v1`), Istio 1.2x (`security.istio.io/v1`,
`networking.istio.io/v1`).
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "integer", "minimum": 0}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
LABELS = {"type": "object", "additionalProperties": TEXT, "minProperties": 1}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT, "minItems": 1}


def table(*required: str, **fields: object) -> dict[str, Any]:
    """An object of these fields and no others."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def several(item: object) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


def kind(api: str, name: str, spec: object) -> tuple[tuple[str, str], Any]:
    metadata = table("name", "namespace", "labels", name=TEXT, namespace=TEXT, labels=LABELS)
    schema = table(
        "apiVersion", "kind", "metadata", "spec",
        apiVersion={"const": api}, kind={"const": name}, metadata=metadata, spec=spec,
    )  # fmt: skip
    return (api, name), jsonschema_rs.validator_for(schema)


CLUSTER_STORE = "ClusterSecretStore"
MATCH = table("matchLabels", matchLabels=LABELS)
SCRAPE = table(
    "port", "path",
    port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION,
    relabelings=several(table("sourceLabels", "targetLabel", sourceLabels=TEXTS, targetLabel=TEXT)),
)  # fmt: skip
MONITORED = {"selector": MATCH, "namespaceSelector": table("matchNames", matchNames=TEXTS)}
MTLS = table("mode", mode={"enum": ["STRICT", "PERMISSIVE", "DISABLE"]})
OPERATION = table("ports", ports=TEXTS, methods=TEXTS, paths=TEXTS)
RULE = table(
    "to",
    **{"from": several(table("source", source=table(principals=TEXTS, namespaces=TEXTS)))},
    to=several(
        table("operation", operation=table("ports", ports=TEXTS, methods=TEXTS, paths=TEXTS))
    ),
)
ROUTE = table(
    "destination", "weight",
    destination=table(
        "host", "subset", "port", host=TEXT, subset=TEXT, port=table("number", number=NUMBER)
    ),
    weight={"type": "integer", "minimum": 0, "maximum": 100},
)  # fmt: skip
POOL = table(
    "tcp", "http",
    tcp=table("maxConnections", maxConnections=NUMBER, connectTimeout=DURATION),
    http=table(
        http1MaxPendingRequests=NUMBER, http2MaxRequests=NUMBER, maxRetries=NUMBER,
        idleTimeout=DURATION,
    ),
)  # fmt: skip
OUTLIERS = table(
    consecutiveGatewayErrors=NUMBER, consecutive5xxErrors=NUMBER, interval=DURATION,
    baseEjectionTime=DURATION, maxEjectionPercent={"type": "integer", "minimum": 0, "maximum": 100},
)  # fmt: skip

SCHEMAS: dict[tuple[str, str], Any] = dict(
    [
        kind(
            "monitoring.coreos.com/v1",
            "ServiceMonitor",
            table("selector", "endpoints", endpoints=several(SCRAPE), **MONITORED),
        ),
        kind(
            "monitoring.coreos.com/v1",
            "PodMonitor",
            table("selector", podMetricsEndpoints=several(SCRAPE), **MONITORED),
        ),
        kind(
            "external-secrets.io/v1",
            "ExternalSecret",
            table(
                "secretStoreRef", "target", "data",
                refreshInterval=DURATION,
                secretStoreRef=table("kind", "name", kind={"const": CLUSTER_STORE}, name=TEXT),
                target=table(
                    "name",
                    name=TEXT,
                    creationPolicy={"const": "Owner"},
                    template=table("data", data=LABELS),
                ),
                data=several(
                    table(
                        "secretKey", "remoteRef",
                        secretKey=TEXT, remoteRef=table("key", "property", key=TEXT, property=TEXT),
                    )
                ),
            ),
        ),
        kind(
            "security.istio.io/v1",
            "PeerAuthentication",
            table(
                "mtls",
                selector=MATCH,
                mtls=MTLS,
                portLevelMtls={"type": "object", "additionalProperties": MTLS},
            ),
        ),
        kind(
            "security.istio.io/v1",
            "AuthorizationPolicy",
            table(selector=MATCH, action={"const": "ALLOW"}, rules=several(RULE)),
        ),
        kind(
            "networking.istio.io/v1",
            "DestinationRule",
            table(
                "host", "trafficPolicy", "subsets",
                host=TEXT,
                trafficPolicy=table(
                    "tls", "connectionPool", "outlierDetection",
                    tls=table("mode", mode={"const": "ISTIO_MUTUAL"}),
                    loadBalancer=table("simple", simple={"enum": ["LEAST_REQUEST", "ROUND_ROBIN"]}),
                    connectionPool=POOL,
                    outlierDetection=OUTLIERS,
                ),
                subsets=several(table("name", "labels", name=TEXT, labels=LABELS)),
            ),
        ),
        kind(
            "networking.istio.io/v1",
            "VirtualService",
            table(
                "hosts", "http",
                hosts=TEXTS,
                http=several(
                    table(
                        "route",
                        route=several(ROUTE),
                        timeout=DURATION,
                        retries=table("attempts", attempts=NUMBER, retryOn=TEXT),
                    )
                ),
            ),
        ),
    ]
)  # fmt: skip
