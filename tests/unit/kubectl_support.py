"""A cluster that is not there: what kubectl would say of one that does as it is told."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pulse_cli.stack.load import load_stack
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes.target import Kubernetes
from pulse_cli.targets.progress import Progress
from tests.unit.kustomize import build

Document = dict[str, Any]
Key = tuple[str, str]

SINGULAR = {
    "deployments": "Deployment", "deployment": "Deployment", "statefulsets": "StatefulSet",
    "statefulset": "StatefulSet", "jobs": "Job", "job": "Job", "pods": "Pod", "pod": "Pod",
    "services": "Service", "secrets": "Secret", "secret": "Secret", "configmaps": "ConfigMap",
    "configmap": "ConfigMap", "networkpolicies": "NetworkPolicy", "events": "Event",
    "serviceaccounts": "ServiceAccount", "poddisruptionbudgets": "PodDisruptionBudget",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "horizontalpodautoscaler": "HorizontalPodAutoscaler",
}  # fmt: skip
CREATED = "2026-01-02T03:04:05Z"


class Cluster:
    """Answers kubectl's command lines. Workloads are rolled out at once, unless `held`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Document] = {}
        self.commands: list[list[str]] = []
        self.told: list[str] = []
        self.contexts = ["fake"]
        self.metrics = True
        self.refuses: dict[str, str] = {}
        """What is said on stderr to command lines that contain a word."""
        self.held: dict[str, Document] = {}
        """By workload: the status of its one pod, which never gets ready."""
        self.podless: set[str] = set()
        """Workloads that are refused their pods."""
        self.version = "v1.34.1"
        self.crashed: Counter[str] = Counter()
        """How often each pod's process was killed."""
        self.ending: list[str] = []
        """Pods that end; one goes each time that they are looked at."""

    def __call__(
        self, command: Sequence[str], told: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Stand for `kubectl._run`."""
        words = [word for word in command[1:] if not word.startswith("--request-timeout")]
        self.commands.append(words)
        self.told.append(told or "")
        if words[:2] == ["config", "current-context"]:
            return self._end("fake\n") if self.contexts else self._fail("current-context not set")
        if words[0] == "version":
            return self._end('{"clientVersion": {"gitVersion": "v1.31.2"}}')
        context, namespace, *rest = words
        if context.partition("=")[2] not in self.contexts:
            return self._fail(f'error: context "{context.partition("=")[2]}" does not exist')
        assert namespace.startswith("--namespace=")
        for word, said in self.refuses.items():
            if word in " ".join(rest):
                return self._fail(said)
        answer = getattr(self, f"_{rest[0].replace('-', '_')}")(rest[1:], told)
        return self._fail(*answer) if isinstance(answer, tuple) else self._end(answer)

    def names(self, kind: str) -> set[str]:
        return {name for each, name in self.objects if each == kind}

    def put(self, document: Document) -> None:
        self.objects[document["kind"], document["metadata"]["name"]] = document

    def _end(self, printed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, printed, "")

    def _fail(self, said: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", said)

    def _apply(self, words: list[str], told: str | None) -> str:
        options = dict(word.partition("=")[::2] for word in words)
        if (folder := options.get("--kustomize")) is not None:
            documents = _built(Path(folder))
            documents = [one for one in documents if _matches(one, options["--selector"])]
        elif options["--filename"] == "-":
            documents = json.loads(told or "")["items"]
        else:
            return ""
        for one in documents:
            self.put(one)
        return "".join(f"{one['kind'].lower()}/{one['metadata']['name']}\n" for one in documents)

    def _get(self, words: list[str], _: str | None) -> str | tuple[str]:
        if words[0] == "--raw":
            found = self.metrics or "metrics" not in words[1]
            return (
                json.dumps({"gitVersion": self.version})
                if found
                else ("the server could not find the requested resource",)
            )
        if "/" in words[0]:
            kind, _, name = words[0].partition("/")
            known = (SINGULAR[kind], name) in self.objects
            return "" if known else (f'Error from server (NotFound): "{name}" not found',)
        if len(words) > 1 and not words[1].startswith("-") and words[0] == "pod":
            return json.dumps(next(p for p in self._pods() if p["metadata"]["name"] == words[1]))
        found_objects = self._select(words)
        if "--output=name" in words:
            return "".join(
                f"{one['kind'].lower()}/{one['metadata']['name']}\n" for one in found_objects
            )
        return json.dumps({"items": [_observed(one) for one in found_objects]})

    def _delete(self, words: list[str], _: str | None) -> str:
        if "-l" not in words and words[0] != "pod":
            keys = [word.partition("/") for word in words if not word.startswith("-")]
            kinds = {kind.lower(): kind for kind in SINGULAR.values()}
            gone = [self.objects[kinds[kind], name] for kind, _, name in keys]
        elif words[0] == "pod":
            return ""
        else:
            gone = self._select(words)
        for one in gone:
            del self.objects[one["kind"], one["metadata"]["name"]]
        return "".join(f"{one['kind']}/{one['metadata']['name']}\n" for one in gone)

    def _exec(self, words: list[str], _: str | None) -> str:
        self.crashed[words[0]] += 1
        return ""

    def _auth(self, words: list[str], _: str | None) -> str:
        return "yes"

    def _api_resources(self, words: list[str], _: str | None) -> str:
        return "pods\ndeployments.apps\n"

    def _rollout(self, words: list[str], _: str | None) -> str:
        return ""

    def _scale(self, words: list[str], _: str | None) -> str:
        name = words[0].partition("/")[2]
        self.objects["Deployment", name]["spec"]["replicas"] = int(words[1].partition("=")[2])
        return ""

    def _patch(self, words: list[str], _: str | None) -> str:
        name = words[0].partition("/")[2]
        patch = json.loads(words[2].partition("=")[2])
        self.objects["HorizontalPodAutoscaler", name]["spec"] |= patch["spec"]
        return ""

    def _logs(self, words: list[str], _: str | None) -> str | tuple[str]:
        if "--previous" in words:
            return "Traceback\nKeyError: 'SERVICE_PORT'\n"
        return ("container is waiting to start",)

    def _select(self, words: list[str]) -> list[Document]:
        kinds = {SINGULAR[kind.partition(".")[0]] for kind in words[0].split(",")}
        selector = ""
        for i, word in enumerate(words):
            if word in {"-l", "--selector"}:
                selector = words[i + 1]
        everything = [*self.objects.values(), *self._pods()]
        return [one for one in everything if one["kind"] in kinds and _matches(one, selector)]

    def _pods(self) -> list[Document]:
        found: list[Document] = []
        for (kind, name), one in self.objects.items():
            if kind not in {"Deployment", "StatefulSet", "Job"} or name in self.podless:
                continue
            template = one["spec"]["template"]
            for i in range(one["spec"].get("replicas", 1)):
                status = self.held.get(name) or (DONE if kind == "Job" else RUNNING)
                if crashes := self.crashed[f"{name}-{i}"]:
                    status = json.loads(json.dumps(RUNNING))
                    status["containerStatuses"][0]["restartCount"] = crashes
                metadata = {
                    "name": f"{name}-{i}",
                    "labels": template["metadata"]["labels"],
                    "creationTimestamp": CREATED,
                }
                found.append(
                    {
                        "kind": "Pod",
                        "metadata": metadata,
                        "spec": template["spec"],
                        "status": status,
                    }
                )
        for name in self.ending:
            labels = {"app.kubernetes.io/name": name.partition("-")[0]}
            metadata = {"name": name, "labels": labels, "deletionTimestamp": CREATED}
            found.append({"kind": "Pod", "metadata": metadata, "spec": {}, "status": RUNNING})
        del self.ending[:1]
        held = {*self.held, *self.podless}
        for (kind, name), one in self.objects.items():
            if kind in {"Deployment", "StatefulSet", "Job"}:
                one["status"] = {} if name in held else _rolled_out(one)
        return found


RUNNING: Document = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {"name": "main", "restartCount": 0, "state": {"running": {"startedAt": CREATED}}}
    ],
}
DONE: Document = {"phase": "Succeeded"}


def waiting(reason: str, message: str = "", restarts: int = 0) -> Document:
    """The status of a pod whose container waits."""
    container = {
        "image": "pulse-services:0",
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}} if restarts else {},
    }
    return {"phase": "Pending", "containerStatuses": [container]}


def unschedulable(message: str) -> Document:
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    return {"phase": "Pending", "conditions": [condition]}


def _rolled_out(one: Document) -> Document:
    count = one["spec"].get("replicas", 1)
    return {
        "observedGeneration": 1,
        "replicas": count,
        "updatedReplicas": count,
        "readyReplicas": count,
        "availableReplicas": count,
        "succeeded": one["spec"].get("parallelism", 1),
    }


def _observed(one: Document) -> Document:
    metadata = {"generation": 1, "creationTimestamp": CREATED, **one["metadata"]}
    spec = one.get("spec", {})
    if one["kind"] == "Job":
        labels = one["spec"]["template"]["metadata"]["labels"]
        spec = {**spec, "selector": {"matchLabels": labels}}
    return {**one, "metadata": metadata, "spec": spec}


@lru_cache(maxsize=8)
def _once(files: tuple[tuple[str, str], ...], overlay: str) -> str:
    return json.dumps(build(dict(files), overlay))


def _built(folder: Path) -> list[Document]:
    own = json.loads((folder / "kustomization.yaml").read_text())
    package = folder.parent / "package"
    files = {str(p.relative_to(package)): p.read_text() for p in package.rglob("*") if p.is_file()}
    overlay = own["resources"][0].removeprefix("../package/")
    documents = json.loads(_once(tuple(sorted(files.items())), overlay))
    for one in documents:
        one["metadata"].setdefault("labels", {}).update(own["labels"][0]["pairs"])
    return [one for one in documents if one["kind"] in SINGULAR.values()]


def _matches(one: Document, selector: str) -> bool:
    """Kubectl's label selectors, as far as they are used."""
    labels = one["metadata"].get("labels", {})
    rest = selector
    while rest:
        term, rest = _next_term(rest)
        if " notin " in term or " in " in term:
            key, word, values = term.partition(" notin " if " notin " in term else " in ")
            inside = labels.get(key.strip()) in values.strip(" ()").split(",")
            well = inside is (word == " in ")
        elif "!=" in term:
            key, _, value = term.partition("!=")
            well = labels.get(key) != value
        elif "=" in term:
            key, _, value = term.partition("=")
            well = labels.get(key) == value
        else:
            well = term in labels
        if not well:
            return False
    return True


def _next_term(text: str) -> tuple[str, str]:
    depth = 0
    for i, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            return text[:i], text[i + 1 :]
    return text, ""


MANAGED = {
    "kubernetes.overlay": "production",
    "kubernetes.managed.postgres": "db.example.org",
    "kubernetes.managed.redis": "cache.example.org",
    "kubernetes.managed.rabbitmq": "mq.example.org",
}


def configured(**settings: object) -> Stack:
    values = {"target": "kubernetes", "kubernetes.timeout_seconds": 10, **settings}
    return load_stack(Path("/nowhere"), values, {})


class Seen:
    """What a start told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.names: list[str] = []

    def show(self, progress: Sequence[Progress]) -> None:
        self.names += [one.name for one in progress if one.name not in self.names]

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def up(state: Path, stack: Stack | None = None) -> tuple[Kubernetes, Seen]:
    target, seen = Kubernetes(state / ".pulse"), Seen()
    target.up(stack or configured(), False, seen.show, seen.say)
    return target, seen
