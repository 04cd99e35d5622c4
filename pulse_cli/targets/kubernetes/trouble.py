"""What holds a workload up, as its own status, its pods and the cluster's events tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulse_cli.targets.kubernetes.kubectl import Kubectl

Object = dict[str, Any]

CRASHES = 3
"""Ends of a container after which it is said to crash again and again."""

STUCK = {
    "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip
IMAGE = ("ErrImage", "ImagePull", "InvalidImage")
CLAIM = "PersistentVolumeClaim"


def of(workload: Object, pods: Iterable[Object]) -> tuple[bool, str]:
    """Return whether nothing will mend it, and what holds it up."""
    for condition in workload.get("status", {}).get("conditions", ()):
        if condition["status"] != "True":
            continue
        if condition["type"] == "ReplicaFailure":
            return True, f"its pods are refused: {condition.get('message', '')}"
        if workload["kind"] == "Job" and condition["type"] == "Failed":
            return True, f"the job failed: {condition.get('message', '')}"
    for condition in workload.get("status", {}).get("conditions", ()):
        if condition["type"] == "Progressing" and condition.get("reason") == (
            "ProgressDeadlineExceeded"
        ):
            return True, _of_pods(pods)[1] or condition.get("message", "")
    return _of_pods(pods)


def _of_pods(pods: Iterable[Object]) -> tuple[bool, str]:
    reasons: list[tuple[bool, str]] = []
    for pod in pods:
        status: Mapping[str, Any] = pod.get("status", {})
        if pod["metadata"].get("deletionTimestamp"):
            continue
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                reasons.append((False, f"unschedulable: {condition.get('message', '')}"))
        for container in (
            *status.get("initContainerStatuses", ()),
            *status.get("containerStatuses", ()),
        ):
            waiting: Mapping[str, str] = container.get("state", {}).get("waiting", {})
            reason = waiting.get("reason", "")
            if reason in STUCK:
                message = waiting.get("message") or container.get("image", "")
                reasons.append((False, f"{reason}: {message}{_advice(reason)}"))
            crashes = container.get("restartCount", 0)
            if reason == "CrashLoopBackOff" and crashes >= CRASHES:
                last = container.get("lastState", {}).get("terminated", {})
                code = last.get("exitCode", "unknown")
                why = last.get("reason", "Error")
                reasons.append((True, f"it ended {crashes} times, last with {code} ({why})"))
    # What cannot mend itself first.
    return max(reasons, key=lambda found: found[0], default=(False, ""))


def counts(reason: str) -> bool:
    """Whether a lasting reason is a failure; a full cluster may yet grow."""
    return bool(reason) and not reason.startswith("unschedulable")


def _advice(reason: str) -> str:
    if not reason.startswith(IMAGE):
        return ""
    return (
        "; build it from what `pulse render docker` or `docker-bench` writes and push it to where "
        "nodes pull from, or name another: images.*, kubernetes.bench_image"
    )


def refused(kubectl: Kubectl, workload: Object) -> str:
    """Return why a workload's pods are not made, which only events tell of some kinds.

    Empty when no event does.
    """
    events = kubectl.items("events", "--field-selector", "reason=FailedCreate")
    wanted = workload["kind"], workload["metadata"]["name"]
    about = [
        one
        for one in events
        if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == wanted
    ]
    about.sort(key=_time)
    return f"its pods are refused: {about[-1]['message'].strip()}" if about else ""


def explained(kubectl: Kubectl, kind: str, name: str, note: str) -> str:
    """Return a workload's note with what was said last about it, where the note is not clear."""
    if kind != "Job" and "(waited" not in note:
        return note
    events = [one for one in kubectl.items("events") if _concerns(one, name)]
    events.sort(key=_time, reverse=True)
    for one in events:
        message = str(one.get("message", "")).strip()
        if message and message not in note:
            return f"{note}; {one['reason']}: {message}"
    return note


def _concerns(event: Mapping[str, Any], name: str) -> bool:
    """Whether it is a warning about a workload or its pods, or anything about its volumes."""
    about: Mapping[str, str] = event["involvedObject"]
    if about["kind"] == CLAIM:  # that nobody provides it is said as if it were normal
        return f"-{name}-" in about["name"]
    return event["type"] == "Warning" and about["name"].startswith(name)


def _time(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
