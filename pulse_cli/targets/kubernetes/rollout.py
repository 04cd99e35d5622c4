"""Waiting for workloads to be rolled out, and saying of one that hangs what holds it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulse_cli.errors import NotHealthy
from pulse_cli.targets.kubernetes import trouble
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.trouble import Object
from pulse_cli.targets.progress import Phase, Show, StartFailed

POLL_SECONDS = 1.0
STUCK_SECONDS = 20.0
"""How long a reason that may pass, such as an image that cannot be pulled, must last to count."""
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
                own = _pods_of(workload, pods)
                bare = not own and not state[0]
                refused = trouble.refused(self._kubectl, workload) if bare else ""
                _look(rollout, state, workload, own, refused, self._clock())
        everything = list(self._seen.values())
        show(everything)
        failed = next((one for one in everything if one.phase is Phase.FAILED), None)
        if failed is not None:
            raise self._failure(failed)
        return all(one.phase is not Phase.STARTING for one in everything)

    def late(self, seconds: float, show: Show = lambda _: None) -> StartFailed:
        """Return the failure of the first that has not arrived after so many seconds."""
        late = next(one for one in self._seen.values() if one.phase is Phase.STARTING)
        late.end(Phase.FAILED, f"{late.note or 'not ready'} (waited {seconds:.0f} s)")
        show(list(self._seen.values()))
        return self._failure(late)

    def _failure(self, one: Rollout) -> StartFailed:
        note = trouble.explained(self._kubectl, one.kind, one.name, one.note)
        return StartFailed(one.name, note)


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
    rollout: Rollout,
    state: tuple[bool, str],
    workload: Object,
    pods: Sequence[Object],
    refused: str,
    now: float,
) -> None:
    done, note = state
    if done:
        rollout.end(Phase.READY)
        return
    final, reason = trouble.of(workload, pods)
    reason = reason or refused
    rollout.note = reason or note
    if reason != rollout.stuck[0]:
        rollout.stuck = reason, now
    if final or (trouble.counts(reason) and now - rollout.stuck[1] >= STUCK_SECONDS):
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


def _pods_of(workload: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the pods of a workload, newest first."""
    wanted: Mapping[str, str] = workload["spec"]["selector"]["matchLabels"]
    own = [pod for pod in pods if wanted.items() <= pod["metadata"].get("labels", {}).items()]
    return sorted(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
