"""The API's own strict schemas, as kubernetes-validate packs them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from typing import Any

import jsonschema_rs
import kubernetes_validate


def strict_schemas(version: str) -> Traversable:
    """Where kubernetes-validate packs the strict schemas of a version."""
    folder = resources(kubernetes_validate) / "kubernetes-json-schema"
    return folder / f"v{version}.0-local-strict"


@cache
def validator(version: str, kind: str, api: str) -> Any:
    """The strict schema of a kind in a version of Kubernetes."""
    group, _, release = api.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], release)))
    schema = json.loads((strict_schemas(version) / f"{name}.json").read_text())
    schema["$id"] = f"schema:///{name}.json"
    return jsonschema_rs.validator_for(schema, registry=definitions(version))


@cache
def definitions(version: str) -> Any:
    whole = json.loads((strict_schemas(version) / "_definitions.json").read_text())
    return jsonschema_rs.Registry([("schema:///api/_definitions.json", whole)])
