"""What this machine and a cluster need for a stack of pods: each check a verdict and its mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pulse_cli.doctor import Check, ill, looked
from pulse_cli.errors import PulseError
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes import preflight
from pulse_cli.targets.kubernetes.kubectl import PROGRAM, Kubectl, installed, kubectl_of
from pulse_cli.targets.kubernetes.package import Package

LEAST_CLIENT, LEAST_SERVER = (1, 27), (1, 30)
RIGHTS = {
    "pods/log": "logs, bench and verify",
    "pods/portforward": "health, seed, bench and verify",
    "pods/exec": "verify failover",
}
"""What kubectl should be allowed beside applying, and what needs it."""


def examine(stack: Stack, state: Path) -> list[Check]:
    """Look at everything that a stack of pods needs; without a cluster that is little."""
    return list(_checks(stack, state))


def _checks(stack: Stack, state: Path) -> Iterator[Check]:
    try:
        client, where = installed()
    except PulseError as error:
        yield ill(PROGRAM, error)
        return
    yield _recent(PROGRAM, client, LEAST_CLIENT, where)
    try:
        there = kubectl_of(stack)
        server = there.server_version()
    except PulseError as error:
        yield ill("cluster", error)
        return
    yield _recent("cluster", server, LEAST_SERVER, f"context {there.context}")
    yield looked("rights", lambda: preflight.rights(there), "may apply what is rendered")
    yield _more_rights(there)
    place = lambda: preflight.place(there, Package(state))  # noqa: E731
    yield looked("namespace", place, f"{there.namespace} holds no other folder's stack")
    if stack.kubernetes.overlay != "dev":
        yield looked("metrics", lambda: preflight.metrics(there), "served, for autoscaling")
    yield looked("settings", lambda: preflight.settings(stack), f"of {stack.kubernetes.overlay}")


def _recent(name: str, version: str, least: tuple[int, int], where: str) -> Check:
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) >= least:
        return Check(name, "ok", f"{version}, {where}")
    wanted = ".".join(map(str, least))
    return Check(name, "unusable", f"{version}, {where}", f"use {wanted} or later")


def _more_rights(there: Kubectl) -> Check:
    wanting = [
        f"{right} ({needed})"
        for right, needed in RIGHTS.items()
        if not there.may("get" if right == "pods/log" else "create", right)
    ]
    if wanting:
        detail = f"not allowed: {', '.join(wanting)}"
        return Check("more rights", "unusable", detail, "ask for a role that may")
    return Check("more rights", "ok", ", ".join(RIGHTS))
