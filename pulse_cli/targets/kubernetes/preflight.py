"""What must be so before anything is applied, each wanting thing one sentence."""

from __future__ import annotations

from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, Unusable
from pulse_cli.render.kubernetes.stores import CA_FOLDER, PLACES, ca_file
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.kubernetes.package import STACK, Package

NEEDED = ("deployments.apps", "services", "secrets", "jobs.batch", "networkpolicies")


def check(stack: Stack, kubectl: Kubectl, package: Package) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: a managed store is not named, or its gateway is not Kong.
        MissingComponent: the cluster serves no metrics, which autoscaling needs.
        Unusable: the cluster is out of reach, forbids it, or its namespace is another stack's.
    """
    settings(stack)
    kubectl.server_version()
    rights(kubectl)
    place(kubectl, package)
    if stack.kubernetes.overlay != "dev":
        metrics(kubectl)


def rights(kubectl: Kubectl) -> None:
    """Raise `Unusable` when kubectl may not apply what is rendered."""
    for kind in NEEDED:
        if not kubectl.may("create", kind):
            raise Unusable(
                f"kubectl may not create {kind} in {kubectl}; "
                "ask for a role that may, such as `admin` of the namespace"
            )


def place(kubectl: Kubectl, package: Package) -> None:
    """Raise `Unusable` when the namespace holds the stack of another folder."""
    others = kubectl.run(
        "get", "deployments", "-l", f"{STACK},{STACK}!={package.labels[STACK]}", "--output=name"
    ).split()
    if others:
        raise Unusable(
            f"{kubectl} holds the stack of another folder; set kubernetes.namespace to another"
        )


def metrics(kubectl: Kubectl) -> None:
    """Raise `MissingComponent` when the cluster serves none of pods."""
    if not kubectl.succeeds("get", "--raw", "/apis/metrics.k8s.io/v1beta1"):
        raise MissingComponent(
            f"the cluster of context {kubectl.context} serves no metrics (metrics.k8s.io), which "
            "autoscaling needs; install metrics-server, or use kubernetes.overlay = dev"
        )


def settings(stack: Stack) -> None:
    """Raise `ConfigError` when an overlay is not told what it needs."""
    if stack.gateway.kind != "kong":
        raise ConfigError(
            f"gateway.kind = {stack.gateway.kind} is not allowed: the Kubernetes target has Kong"
        )
    k = stack.kubernetes
    if k.overlay == "dev":
        return
    unset = [
        f"kubernetes.managed.{name}"
        for name in ("postgres", "redis", "rabbitmq")
        if getattr(k.managed, name) is None
    ]
    if unset:
        raise ConfigError(
            f"kubernetes.overlay = {k.overlay} uses stores that somebody runs; "
            f"say where they are: {', '.join(unset)}"
        )


def check_given(stack: Stack, kubectl: Kubectl) -> None:
    """Refuse to go on without what only people can put into the namespace.

    Raises:
        NotHealthy: a certificate is not there.
    """
    if stack.kubernetes.overlay == "dev":
        return
    place = PLACES.get(stack.kubernetes.overlay, PLACES["production"])
    needed = {"secret/gateway-tls": "create secret tls gateway-tls --cert=FILE --key=FILE"}
    if ca_file(stack, place).startswith(CA_FOLDER):
        needed["configmap/store-ca"] = "create configmap store-ca --from-file=ca.pem=FILE"
    for name, command in needed.items():
        if not kubectl.succeeds("get", name):
            raise NotHealthy(
                f"{kubectl} has no {name.replace('/', ' ')}; make it with: "
                f"{' '.join(kubectl.words)} {command}"
            )
