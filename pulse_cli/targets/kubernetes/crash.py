"""Making a pod's process crash, as nothing but a crash does.

A pod that is deleted, even without grace, is first taken out of its Service, and only then killed:
whoever sends requests knows before anything breaks. So the process itself is killed. It is the
first of its container, which ignores signals from inside; but the kernel kills what has used more
CPU time than it may, and that limit can be lowered from inside.
"""

from __future__ import annotations

import time

from pulse_cli.errors import NotHealthy
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.pods import Pod

PROGRAM = "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))"
"""One second of CPU time, which takes no service longer than to start."""

INTERPRETER = "/proc/1/exe"
"""What the process itself is run by, wherever an image has it."""

NOTICE_SECONDS = 20.0
POLL_SECONDS = 0.2


def crash(kubectl: Kubectl, pod: Pod) -> float:
    """Kill a pod's process, wait until the cluster has noticed, return when it was struck.

    Its node starts the container again, at once the first time, later after each further crash.

    Raises:
        Unusable: kubectl may not run anything in the pod (`create` of `pods/exec`).
        NotHealthy: the process goes on.
    """
    before = _restarts(kubectl, pod)
    kubectl.run("exec", pod.pod, f"--container={pod.app}", "--", INTERPRETER, "-c", PROGRAM)
    struck = time.monotonic()
    while _restarts(kubectl, pod) == before:
        if time.monotonic() > struck + NOTICE_SECONDS:
            raise NotHealthy(f"{pod.name} ({pod.pod}) does not die in {kubectl}")
        time.sleep(POLL_SECONDS)
    return struck


def _restarts(kubectl: Kubectl, pod: Pod) -> object:
    """Return what differs once a container has ended: its restarts, and whether it runs."""
    containers = kubectl.json("get", "pod", pod.pod).get("status", {}).get("containerStatuses", ())
    return [(one["name"], one["restartCount"], "running" in one["state"]) for one in containers]
