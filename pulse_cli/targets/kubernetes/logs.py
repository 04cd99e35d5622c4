"""What pods wrote, under the names that people can say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulse_cli.errors import ConfigError
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.pods import Pod
from pulse_cli.targets.kubernetes.rollout import NAME
from pulse_cli.targets.target import Line

MOST_LOGS = 100
"""Pods whose logs are followed at once."""


def last_lines(kubectl: Kubectl, selector: str, count: int) -> list[str]:
    """Return the last lines of the newest pod that wrote any; none when none did.

    Of a container that crashed it is what it wrote before.
    """
    found = kubectl.items("pods", "--selector", selector)
    found.sort(key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    for pod in reversed(found):
        statuses = pod.get("status", {}).get("containerStatuses", ())
        crashed = any("waiting" in one.get("state", {}) for one in statuses)
        for more in [("--previous",), ()] if crashed else [()]:
            arguments = ("logs", pod["metadata"]["name"], f"--tail={count}", *more)
            if kubectl.succeeds(*arguments):
                lines = kubectl.run(*arguments).splitlines()
                if lines:
                    return lines
    return []


def lines(
    kubectl: Kubectl, selector: str, chosen: Sequence[Pod], count: int, follow: bool
) -> Iterator[Line]:
    """Yield the last lines of each pod, and with `follow` every new one.

    Raises:
        NotHealthy: kubectl cannot read them.
    """
    names = {one.pod: one.name for one in chosen}
    apps = ",".join(dict.fromkeys(one.app for one in chosen))
    printed = kubectl.stream(
        "logs",
        f"--selector={selector},{NAME} in ({apps})",
        f"--tail={count}",
        "--prefix",
        "--ignore-errors",  # of a pod that has none yet
        f"--max-log-requests={MOST_LOGS}",
        *(["--follow"] if follow else []),
    )
    for line in printed:
        # Such as [pod/posts-6d5f-x2x/posts] {"message": …}
        prefix, _, text = line.partition("] ")
        pod = prefix.removeprefix("[pod/").partition("/")[0]
        if pod in names:
            yield names[pod], text


def choose(running: Sequence[Pod], names: Sequence[str]) -> list[Pod]:
    """Return the pods that names mean: a pod, or a workload with all its pods; none means all.

    Raises:
        ConfigError: a name means nothing.
    """
    chosen: list[Pod] = []
    for name in names:
        found = [one for one in running if name in {one.name, one.app, one.pod}]
        if not found:
            known = ", ".join(dict.fromkeys(one.app for one in running))
            raise ConfigError(f"the stack has no component {name!r}; it has {known}")
        chosen += found
    return chosen or list(running)
