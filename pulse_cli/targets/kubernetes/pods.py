"""Pods as people and other commands know them: `posts-0`, `posts-1`, `gateway-0`, `migrate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.rollout import NAME

COMPONENT = "app.kubernetes.io/component"
PART_OF_PULSE = "app.kubernetes.io/part-of=pulse"
"""What finds all pods of a stack: a namespace holds one."""


@dataclass(frozen=True)
class Pod:
    """One pod, under a number that it keeps while older ones live."""

    name: str
    """Such as `posts-0`."""
    pod: str
    """As the cluster calls it."""
    app: str
    kind: str
    state: str
    """`running` is ready; `done` is a job's end."""
    port: int | None
    address: str | None
    """Inside the cluster."""
    started: datetime | None
    restarts: int

    @property
    def ready(self) -> bool:
        """Whether it gets requests."""
        return self.state == "running"

    @property
    def uptime_seconds(self) -> int | None:
        """How long its containers run."""
        if self.started is None:
            return None
        return max(0, int((datetime.now(UTC) - self.started).total_seconds()))


def pods(kubectl: Kubectl, selector: str) -> list[Pod]:
    """Return the pods that a selector finds, in the stack's order, ready and old ones first."""
    found = [
        _pod(one)
        for one in kubectl.items("pods", "--selector", selector)
        if not one["metadata"].get("deletionTimestamp")
    ]
    order = {name: i for i, name in enumerate((*SERVICE_NAMES, "gateway"))}
    found.sort(key=lambda one: (order.get(one.app, -1), one.app, not one.ready, str(one.started)))
    counts: dict[str, int] = {}
    numbered: list[Pod] = []
    for one in found:
        index = counts[one.app] = counts.get(one.app, -1) + 1
        alone = one.kind in {"store", "migration"} and index == 0
        name = one.app if alone else f"{one.app}-{index}"
        numbered.append(Pod(**{**vars(one), "name": name}))
    return numbered


def _pod(one: Mapping[str, Any]) -> Pod:
    labels, status = one["metadata"]["labels"], one.get("status", {})
    containers = status.get("containerStatuses", ())
    running = [c["state"]["running"] for c in containers if "running" in c.get("state", {})]
    ports = [port["containerPort"] for port in one["spec"]["containers"][0].get("ports", ())]
    started = min((str(each["startedAt"]) for each in running), default=None)
    return Pod(
        name="",
        pod=one["metadata"]["name"],
        app=labels[NAME],
        kind=labels[COMPONENT],
        state=_state(status),
        port=ports[0] if ports else None,
        address=status.get("podIP"),
        started=datetime.fromisoformat(started) if started else None,
        restarts=sum(c.get("restartCount", 0) for c in containers),
    )


def _state(status: Mapping[str, Any]) -> str:
    phase = str(status.get("phase", "Unknown"))
    if phase == "Succeeded":
        return "done"
    for container in (
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ):
        waiting = container.get("state", {}).get("waiting", {}).get("reason")
        if waiting and waiting not in {"PodInitializing", "ContainerCreating"}:
            return str(waiting)
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    if conditions.get("PodScheduled") == "False":
        return "unschedulable"
    if phase == "Running":
        return "running" if conditions.get("Ready") == "True" else "starting"
    return "starting" if phase == "Pending" else phase.lower()
