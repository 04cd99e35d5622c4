"""Waiting for workloads to be rolled out, and saying of one that hangs what holds it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulse_cli.errors import NotHealthy
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.progress import Phase, Show, StartFailed

Object = dict[str, Any]

POLL_SECONDS = 1.0
STUCK_SECONDS = 20.0
"""How long a reason that may pass, such as an image that cannot be pulled, must last to count."""
CRASHES = 3
"""Ends of a container after which it is said to crash again and again."""

STUCK = {
    "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip
WORKLOADS = "deployments,statefulsets,jobs"
NAME = "app.kubernetes.io/name"


@dataclass
class Rollout:
    """One workload on its way (a `Progress`)."""

    kind: str
    name: str
    """As people call it: the service, the store, `migrate`, `gateway`."""
    phase: Phase = Phase.STARTING
    note: str = ""
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    stuck: tuple[str, float] = ("", 0.0)
    """What holds it up, and since when."""

    @property
    def seconds(self) -> float | None:
        """Seconds from its start to now or to its end."""
        return (self.ended or time.monotonic()) - self.begun

    def end(self, phase: Phase, note: str = "") -> None:
        """Come to an end in `phase`."""
        self.phase, self.note, self.ended = phase, note, time.monotonic()


class Rollouts:
    """The workloads that a selector finds, on their way."""

    def __init__(
        self,
        kubectl: Kubectl,
        selector: str,
        clock: Callable[[], float] = time.monotonic,
        jobs_run: bool = False,
    ) -> None:
        """Take what finds them; with `jobs_run` a Job has arrived when its pods run."""
        self._kubectl = kubectl
        self._selector = selector
        self._clock = clock
        self._jobs_run = jobs_run
        self._seen: dict[tuple[str, str], Rollout] = {}

    def look(self, show: Show = lambda _: None) -> bool:
        """Look once; return whether all are rolled out. Raises `StartFailed`: one hangs."""
        found = self._kubectl.items(f"{WORKLOADS},pods", "--selector", self._selector)
        pods = [one for one in found if one["kind"] == "Pod"]
        for workload in found:
            if workload["kind"] == "Pod":
                continue
            key = workload["kind"], workload["metadata"]["name"]
            rollout = self._seen.setdefault(key, Rollout(key[0], _named(workload)))
            if rollout.ended == 0.0:
                state = _running(workload) if self._jobs_run else _state(workload)
                _look(rollout, state, workload, _pods_of(workload, pods), self._clock())
        everything = list(self._seen.values())
        show(everything)
        failed = next((one for one in everything if one.phase is Phase.FAILED), None)
        if failed is not None:
            raise StartFailed(failed.name, _with_event(self._kubectl, failed))
        return all(one.phase is not Phase.STARTING for one in everything)

    def late(self, seconds: float, show: Show = lambda _: None) -> StartFailed:
        """Return the failure of the first that has not arrived after so many seconds."""
        late = next(one for one in self._seen.values() if one.phase is Phase.STARTING)
        late.end(Phase.FAILED, f"{late.note or 'not ready'} (waited {seconds:.0f} s)")
        show(list(self._seen.values()))
        return StartFailed(late.name, _with_event(self._kubectl, late))


def wait(
    kubectl: Kubectl,
    selector: str,
    show: Show,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until every workload that a selector finds is rolled out.

    Raises:
        StartFailed: one hangs; it says why.
    """
    deadline = clock() + seconds
    rollouts = Rollouts(kubectl, selector, clock)
    while not rollouts.look(show):
        if clock() >= deadline:
            raise rollouts.late(seconds, show)
        time.sleep(POLL_SECONDS)


def wait_gone(kubectl: Kubectl, selector: str, seconds: float) -> None:
    """Wait until pods that end have gone.

    Raises:
        NotHealthy: one has not.
    """
    deadline = time.monotonic() + seconds
    while ending := [
        str(one["metadata"]["name"])
        for one in kubectl.items("pods", "--selector", selector)
        if one["metadata"].get("deletionTimestamp")
    ]:
        if time.monotonic() >= deadline:
            raise NotHealthy(
                f"{', '.join(ending)} has not ended in {kubectl} after {seconds:.0f} s"
            )
        time.sleep(POLL_SECONDS)


def _named(workload: Object) -> str:
    """A Job's own name ends with a digest."""
    metadata = workload["metadata"]
    return str(metadata["labels"][NAME] if workload["kind"] == "Job" else metadata["name"])


def _look(
    rollout: Rollout, state: tuple[bool, str], workload: Object, pods: Sequence[Object], now: float
) -> None:
    done, note = state
    if done:
        rollout.end(Phase.READY)
        return
    final, reason = _trouble(workload, pods)
    rollout.note = reason or note
    if reason != rollout.stuck[0]:
        rollout.stuck = reason, now
    if final or (reason and _counts(pods, reason) and now - rollout.stuck[1] >= STUCK_SECONDS):
        rollout.end(Phase.FAILED, reason)


def _state(workload: Object) -> tuple[bool, str]:
    """Whether it is rolled out, and how far it is."""
    status: Mapping[str, Any] = workload.get("status", {})
    if workload["kind"] == "Job":
        return bool(status.get("succeeded")), "runs"
    wanted = workload["spec"].get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    seen = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    if workload["kind"] == "StatefulSet":
        # It counts no updated pods while all are of the revision it began with.
        updated = (
            ready if status.get("currentRevision") == status.get("updateRevision") else updated
        )
        gone = True
    else:
        ready = min(ready, status.get("availableReplicas", 0))
        gone = status.get("replicas", 0) <= updated
    done = seen and gone and updated >= wanted and ready >= wanted
    return done, f"{min(updated, ready)} of {wanted} ready"


def _running(job: Object) -> tuple[bool, str]:
    """Whether all pods of a Job run, and how many do."""
    status, wanted = job.get("status", {}), job["spec"]["parallelism"]
    running = status.get("ready", 0) + status.get("succeeded", 0)
    return running >= wanted, f"{running} of {wanted} pods run"


def _trouble(workload: Object, pods: Iterable[Object]) -> tuple[bool, str]:
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
                reasons.append((False, f"{reason}: {message}"))
            crashes = container.get("restartCount", 0)
            if reason == "CrashLoopBackOff" and crashes >= CRASHES:
                last = container.get("lastState", {}).get("terminated", {})
                code = last.get("exitCode", "unknown")
                why = last.get("reason", "Error")
                reasons.append((True, f"it ended {crashes} times, last with {code} ({why})"))
    # What cannot mend itself first.
    return max(reasons, key=lambda found: found[0], default=(False, ""))


def _counts(pods: Collection[Object], reason: str) -> bool:
    """Whether a lasting reason is a failure; a full cluster may yet grow."""
    return bool(pods) and not reason.startswith("unschedulable")


def _pods_of(workload: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the pods of a workload, newest first."""
    wanted: Mapping[str, str] = workload["spec"]["selector"]["matchLabels"]
    own = [pod for pod in pods if wanted.items() <= pod["metadata"].get("labels", {}).items()]
    return sorted(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)


def _with_event(kubectl: Kubectl, rollout: Rollout) -> str:
    """Return a rollout's note with the last warning about it, where the note is not clear."""
    if rollout.kind != "Job" and "(waited" not in rollout.note:
        return rollout.note
    events = kubectl.items("events", "--field-selector", "type=Warning")
    about = [one for one in events if str(one["involvedObject"]["name"]).startswith(rollout.name)]
    about.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    if not about or str(about[-1].get("message", "")) in rollout.note:
        return rollout.note
    return f"{rollout.note}; {about[-1]['reason']}: {str(about[-1]['message']).strip()}"
