"""The rendered package of one stack on this machine, and how it goes to the cluster in stages."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pulse_cli.files import private_folder, write_private
from pulse_cli.render import kubernetes
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes.kubectl import OWNER, Kubectl

STACK = "pulse/stack"
"""The label by which a stack's objects are found again."""

COMPONENT = "app.kubernetes.io/component"
BEFORE = f"{COMPONENT} notin (service,gateway,migration)"
MIGRATION = f"{COMPONENT}=migration"
AFTER = f"{COMPONENT} in (service,gateway)"

OURS = (
    "deployments", "statefulsets", "jobs", "horizontalpodautoscalers", "poddisruptionbudgets",
    "services", "networkpolicies", "configmaps", "secrets", "serviceaccounts",
)  # fmt: skip
FOREIGN = (
    "servicemonitors.monitoring.coreos.com", "podmonitors.monitoring.coreos.com",
    "externalsecrets.external-secrets.io", "peerauthentications.security.istio.io",
    "authorizationpolicies.security.istio.io", "destinationrules.networking.istio.io",
    "virtualservices.networking.istio.io",
)  # fmt: skip
"""Kinds of ours that a cluster may not know."""


def stack_id(state: Path) -> str:
    """Return what a state folder's stack is labelled with."""
    return hashlib.sha256(os.fsencode(state)).hexdigest()[:12]


class Package:
    """What `kubectl apply -k` is given for the stack of a state folder."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "kubernetes"
        self.labels = {STACK: stack_id(state)}

    @property
    def selector(self) -> str:
        """What finds every object of this stack, and of no other."""
        return ",".join(f"{key}={value}" for key, value in self.labels.items())

    def write(self, stack: Stack) -> None:
        """Write the package, and around it what labels all of it.

        Raises:
            ConfigError: PostgreSQL has too few connections even for a pooler.
            OSError: a file cannot be written.
        """
        for path, text in kubernetes.files(stack).items():
            file = self.folder / "package" / path
            private_folder(file.parent)
            write_private(file, text)
        own = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"../package/overlays/{stack.kubernetes.overlay}"],
            "labels": [{"pairs": self.labels}],
        }
        private_folder(self.folder / "stack")
        write_private(self.folder / "stack" / "kustomization.yaml", json.dumps(own, indent=2))

    def apply(self, kubectl: Kubectl, selector: str) -> set[str]:
        """Apply the part that a selector finds; return the objects' names (`kind.group/name`)."""
        printed = kubectl.run(
            "apply",
            *OWNER,
            f"--kustomize={self.folder / 'stack'}",
            f"--selector={selector}",
            "--output=name",
        )
        return set(printed.split())

    def remove_stale(self, kubectl: Kubectl, wanted: set[str]) -> None:
        """Delete what an earlier version of this stack has and this one has not."""
        found = kubectl.run(
            "get", ",".join(self._kinds(kubectl)), "-l", self.selector, "--output=name"
        )
        stale = sorted(
            name
            for name in set(found.split()) - wanted
            if not name.startswith("secret/") and not name.startswith("job.batch/")
        )
        if stale:
            kubectl.run("delete", "--wait=false", *stale)

    def delete(self, kubectl: Kubectl) -> int:
        """Delete every object of the stack but its data; return how many there were."""
        kinds = ",".join(self._kinds(kubectl))
        printed = kubectl.run(
            "delete", kinds, "-l", self.selector, "--ignore-not-found", "--output=name"
        )
        return len(printed.split())

    def _kinds(self, kubectl: Kubectl) -> list[str]:
        known = set(kubectl.run("api-resources", "--namespaced", "--output=name").split())
        return [*OURS, *(kind for kind in FOREIGN if kind in known)]
