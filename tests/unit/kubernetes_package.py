"""What kustomize makes of the Kubernetes package, by overlay, kind and pod."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pulse_cli.render import kubernetes
from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import Stack
from tests.unit.kustomize import Document, build

OVERLAYS = ("dev", "production", "aws", "gcp", "azure", "istio")
WITH_ALL: dict[str, object] = {
    "kubernetes.overlay": "istio",
    "kubernetes.secret_store": "vault",
    "kubernetes.canary": {"service": "posts", "image": "pulse-services:next", "percent": 20},
    "observability.otlp_endpoint": "http://otel.monitoring:4318",
    "services.posts.replicas": 3,
}


def configured(**settings: object) -> Stack:
    return load_stack(Path("/nowhere"), settings, {})


@cache
def package(everything: bool = False) -> dict[str, str]:
    return kubernetes.files(configured(**WITH_ALL) if everything else configured())


@cache
def built(overlay: str, everything: bool = False) -> list[Document]:
    return build(package(everything), f"overlays/{overlay}")


def of_kind(overlay: str, kind: str, everything: bool = False) -> dict[str, Document]:
    found = (one for one in built(overlay, everything) if one["kind"] == kind)
    return {one["metadata"]["name"]: one for one in found}


def pod_specs(overlay: str) -> Iterator[tuple[str, Document]]:
    for kind in ("Deployment", "StatefulSet", "Job"):
        for name, one in of_kind(overlay, kind).items():
            yield name, one["spec"]["template"]["spec"]


def containers(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", ()), *spec["containers"]]
