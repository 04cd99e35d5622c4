"""OpenAPI 3.1 out of the tables of endpoints and the contract's models, so that it cannot lag.

What a handler's table row does not say is read off the handler: its docstring is the summary, and
the headers are those of `Call` that it asks for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import NoneType
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue, models_json_schema

from pulse_sdk.contract.common import Problem
from services.kit.http import MAX_KEY_CHARACTERS, Access, Endpoint

Json = dict[str, Any]
_Refs = Mapping[tuple[Any, JsonSchemaMode], JsonSchemaValue]

_REF = "#/components/schemas/{model}"

_HEADERS: Mapping[str, Json] = {
    "idempotency_key": {
        "name": "Idempotency-Key",
        "description": "Repeating a request with its key changes nothing and gives its answer.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_KEY_CHARACTERS,
            "pattern": "^[ -~]+$",
        },
    },
    "if_match": {
        "name": "If-Match",
        "description": "The `ETag` that was read; 412 when it is no longer the current one.",
        "schema": {"type": "string"},
    },
}
"""Headers by the attribute of `Call` through which a handler reads them."""

UNAUTHORIZED = ("token_missing", "token_invalid", "token_expired", "gateway_unauthorized")
_ALWAYS: Mapping[int, tuple[str, ...]] = {
    400: ("gateway_bad_request",),
    429: ("gateway_rate_limited",),
    500: ("internal_error",),
    503: ("gateway_unavailable", "database_unavailable", "overloaded"),
    504: ("gateway_timeout", "deadline_exceeded"),
}


def openapi(title: str, version: str, description: str, parts: Mapping[str, Json]) -> Json:
    """The whole document of an API whose parts (by tag) are `fragment`s."""
    paths: Json = {}
    for part in parts.values():
        for path, operations in part["paths"].items():
            paths.setdefault(path, {}).update(operations)
    schemas = {name: schema for part in parts.values() for name, schema in part["schemas"].items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in parts],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "user": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a log-in.",
                }
            },
        },
    }


def fragment(tag: str, endpoints: Iterable[Endpoint], codes: Iterable[str]) -> Json:
    """What people may call of a service: its `paths`, and the `schemas` that they refer to.

    `codes` are those of the refusals that its rules may give. Endpoints for other services are
    left out: nobody reaches them over the gateway.
    """
    public = [one for one in endpoints if one.access is not Access.SERVICE]
    modes: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for one in public:
        if one.body is not NoneType:
            modes[one.body, "validation"] = None
        if one.query is not NoneType:
            modes[one.query, "validation"] = None
        if one.returns is not NoneType:
            modes[one.returns, "serialization"] = None
    refs, definitions = models_json_schema(list(modes), ref_template=_REF)
    schemas = _readable(definitions["$defs"])
    paths: Json = {}
    for one in public:
        operation = _operation(tag, one, refs, schemas)
        operation["responses"] |= {"4XX": problem(codes), "5XX": problem()}
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    # A query's fields become parameters; nothing else refers to its model.
    for one in public:
        if one.query is not NoneType:
            schemas.pop(_name(refs[one.query, "validation"]), None)
    return {"paths": paths, "schemas": schemas}


def problem(codes: Iterable[str] = ()) -> Json:
    """An answer that is a problem document with one of these codes."""
    told = ", ".join(f"`{code}`" for code in codes)
    return {
        "description": f"Refused: {told}." if told else "Refused; `code` says why.",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
    }


def _operation(
    tag: str,
    one: Endpoint,
    refs: _Refs,
    schemas: Json,
) -> Json:
    operation: Json = {
        "operationId": f"{tag}_{one.handler.__name__}",
        "tags": [tag],
        "summary": inspect.cleandoc(one.handler.__doc__ or "").partition("\n")[0],
    }
    if one.access is Access.USER:
        operation["security"] = [{"user": []}]
    if parameters := [*_path(one), *_query(one, refs, schemas), *_headers(one)]:
        operation["parameters"] = parameters
    if one.body is not NoneType:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[one.body, "validation"]}},
        }
    answer: Json = {"description": HTTPStatus(one.status).phrase}
    if one.returns is not NoneType:
        answer["content"] = {"application/json": {"schema": refs[one.returns, "serialization"]}}
    if "version" in getattr(one.returns, "model_fields", {}):
        answer["headers"] = {
            "ETag": {"description": "The version, for `If-Match`.", "schema": {"type": "string"}}
        }
    refusals = {str(status): problem(codes) for status, codes in sorted(_refusals(one).items())}
    operation["responses"] = {str(one.status): answer, **refusals}
    return operation


def _refusals(one: Endpoint) -> dict[int, tuple[str, ...]]:
    """The refusals that follow from the row itself; a rule's own are in the range `4XX`."""
    found = dict(_ALWAYS)
    if one.access is Access.USER:
        found[401] = UNAUTHORIZED
    if one.body is not NoneType:
        found[400] = ("malformed_request", *_ALWAYS[400])
        found[413] = ("gateway_body_too_large", "body_too_large")
    if one.body is not NoneType or one.query is not NoneType or "idempotency_key" in _asked(one):
        found[422] = ("invalid_request",)
    if ids := [name for name in _names(one.path) if name.endswith("_id")]:
        found[404] = tuple(f"{name.removesuffix('_id')}_not_found" for name in ids)
    if "if_match" in _asked(one):
        found[412] = ("stale",)
    return found


def _names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _path(one: Endpoint) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"}
            if name.endswith("_id")
            else {"type": "string"},
        }
        for name in _names(one.path)
    ]


def _query(
    one: Endpoint,
    refs: _Refs,
    schemas: Json,
) -> list[Json]:
    if one.query is NoneType:
        return []
    return query_parameters(schemas[_name(refs[one.query, "validation"])])


def query_parameters(model: Json) -> list[Json]:
    """The fields of a query's model, given by its JSON schema."""
    required = model.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _given(schema)}
        for name, schema in model["properties"].items()
    ]


def _headers(one: Endpoint) -> list[Json]:
    return [
        {"in": "header", "required": False, **header}
        for attribute, header in _HEADERS.items()
        if attribute in _asked(one)
    ]


def _asked(one: Endpoint) -> tuple[str, ...]:
    """The attributes that the handler's own code reads."""
    names: tuple[str, ...] = inspect.unwrap(one.handler).__code__.co_names
    return names


def _name(reference: JsonSchemaValue) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _given(schema: Json) -> Json:
    """A parameter is given or left out, it is never null."""
    told = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    if schema.get("default") is not None:
        told["default"] = schema["default"]
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **told}
    return {**told, "anyOf": options} if options else told


def _readable(value: Any) -> Any:
    """Without `writeOnly`, which pydantic puts on every secret: a log-in's answer holds two."""
    if isinstance(value, dict):
        return {key: _readable(inner) for key, inner in value.items() if key != "writeOnly"}
    if isinstance(value, list):
        return [_readable(inner) for inner in value]
    return value
