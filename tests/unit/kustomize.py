"""What `kubectl kustomize` makes of our package, for machines without kubectl.

Just as much of kustomize as our files use: resources, components, ConfigMap generators with their
digests, JSON patches. Where kubectl is, a test holds this to what kubectl says.
"""

from __future__ import annotations

import copy
import hashlib
import json
import posixpath
from collections.abc import Mapping
from typing import Any

import yaml

Document = dict[str, Any]
KNOWN = {
    "apiVersion", "kind", "resources", "components", "configMapGenerator", "patches",
}  # fmt: skip
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DIGITS = str.maketrans({"0": "g", "1": "h", "3": "k", "a": "m", "e": "t"})


def build(files: Mapping[str, str], folder: str) -> list[Document]:
    """Return the objects of a kustomization, sorted by kind and name."""
    objects: list[Document] = []
    generated: dict[str, Document] = {}
    _accumulate(files, folder, objects, generated)
    names = {name: f"{name}-{_digest(document)}" for name, document in generated.items()}
    for document in generated.values():
        document["metadata"]["name"] = names[document["metadata"]["name"]]
    objects += generated.values()
    for document in objects:
        _refer(document, names)
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


def _accumulate(
    files: Mapping[str, str], folder: str, objects: list[Document], generated: dict[str, Document]
) -> None:
    own = yaml.load(files[f"{folder}/kustomization.yaml"], LOADER)
    assert not set(own) - KNOWN, f"{folder} uses more of kustomize than this knows"
    for resource in own.get("resources", ()):
        path = posixpath.normpath(f"{folder}/{resource}")
        if path in files:
            objects += yaml.load_all(files[path], LOADER)
        else:
            _accumulate(files, path, objects, generated)
    for component in own.get("components", ()):
        _accumulate(files, posixpath.normpath(f"{folder}/{component}"), objects, generated)
    for wanted in own.get("configMapGenerator", ()):
        _generate(files, folder, wanted, generated)
    for patch in own.get("patches", ()):
        _patch(patch, objects)


def _generate(
    files: Mapping[str, str], folder: str, wanted: Document, generated: dict[str, Document]
) -> None:
    name, behavior = wanted["name"], wanted.get("behavior", "create")
    assert (name in generated) == (behavior == "replace"), name
    data: dict[str, str] = {}
    for path in wanted.get("files", ()):
        data[posixpath.basename(path)] = files[f"{folder}/{path}"]
    for path in wanted.get("envs", ()):
        pairs = (line.partition("=") for line in files[f"{folder}/{path}"].splitlines())
        data |= {key: value for key, _, value in pairs}
    generated[name] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": wanted["namespace"]},
        "data": data,
    }


def _patch(patch: Document, objects: list[Document]) -> None:
    target = patch["target"]
    chosen = [
        one
        for one in objects
        if one["kind"] == target["kind"]
        and target.get("name", one["metadata"]["name"]) == one["metadata"]["name"]
    ]
    assert chosen, f"nothing is {target}"
    for operation in yaml.safe_load(patch["patch"]):
        *parents, last = (
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        )
        for one in chosen:
            place: Any = one
            for part in parents:
                place = place[int(part) if isinstance(place, list) else part]
            if operation["op"] == "remove":
                del place[last]
            else:
                assert operation["op"] == "add" or last in place, operation
                place[last] = copy.deepcopy(operation["value"])


def _refer(value: object, names: Mapping[str, str]) -> None:
    """Let references to generated ConfigMaps follow their new names."""
    if isinstance(value, list):
        for inner in value:
            _refer(inner, names)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in {"configMap", "configMapRef"} and inner["name"] in names:
                inner["name"] = names[inner["name"]]
            else:
                _refer(inner, names)


def _digest(document: Document) -> str:
    content = {"data": document["data"], "kind": "ConfigMap", "name": ""}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":  # as Go writes JSON
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(DIGITS)
