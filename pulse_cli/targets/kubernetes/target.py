"""The Kubernetes target: a stack as workloads in one namespace of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from pulse_cli.errors import ConfigError, NotHealthy, PulseError
from pulse_cli.files import private_folder, write_private
from pulse_cli.output import people
from pulse_cli.programs import connection_limit
from pulse_cli.render.kubernetes.drain import DRAIN
from pulse_cli.render.kubernetes.stores import explain_connections
from pulse_cli.stack.load import recorded_stack
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack
from pulse_cli.stack.secrets import ensure_secrets
from pulse_cli.targets.changing import locked, undone_on_failure
from pulse_cli.targets.kubernetes import credentials, logs, preflight, rollout
from pulse_cli.targets.kubernetes.crash import crash
from pulse_cli.targets.kubernetes.forward import reached
from pulse_cli.targets.kubernetes.kubectl import OWNER, Kubectl, current_context, find, kubectl_of
from pulse_cli.targets.kubernetes.package import AFTER, BEFORE, MIGRATION, Package
from pulse_cli.targets.kubernetes.pods import PART_OF_PULSE, Pod, pods
from pulse_cli.targets.local.scaling import scaled
from pulse_cli.targets.progress import FAILURE_LINES, Show, StartFailed
from pulse_cli.targets.target import Line, Say, Status

SPARE_SECONDS = 20
"""Past its own grace until a pod that ends must have gone: its node tells the cluster late."""


class Kubernetes:
    """The stack of one state folder."""

    part: ClassVar[str] = "pod"

    def __init__(self, state: Path) -> None:
        self.state = state
        self._package = Package(state)
        self._record = state / "run" / "stack.json"
        self._place = state / "run" / "kubernetes.json"
        self._configured = state / "run" / "configured.json"
        self._failed: Stack | None = None
        """A stack whose start failed: undone, it has neither a record nor its pods' logs."""
        self._wrote: dict[str, list[str]] = {}
        """What of it failed, and its last lines."""

    def running(self) -> Stack:
        """Return the effective stack, with the context it was started in.

        Raises:
            NotHealthy: none was started here.
        """
        stack = self._running()
        if stack is None:
            raise NotHealthy(f"no stack is running in {self.state.parent}; start it with: pulse up")
        return stack

    def up(self, configured: Stack, isolated: bool, show: Show, say: Say) -> Stack:
        """Apply the configured stack and wait until it is rolled out; return the effective one.

        A running stack keeps its context, its namespace and what it was scaled to; everything else
        of the configuration is rolled out. A first start that fails or is interrupted deletes what
        it made, but for data; a failed change leaves the pods from before serving.

        Raises:
            MissingComponent: kubectl, or something the cluster must have, is not there.
            ConfigError: the configuration lacks something, or asks for another place.
            Unusable: the cluster is out of reach or refuses.
            NotHealthy: a workload hangs.
        """
        if isolated:
            raise ConfigError(
                "--isolated finds free ports on this machine; "
                "in a cluster give each stack a kubernetes.namespace of its own"
            )
        find()
        private_folder(self.state / "run")
        with locked(self.state / "run"):
            before = self._running()
            stack = self._placed(configured, before)
            kubectl = kubectl_of(stack)
            preflight.check(stack, kubectl, self._package)
            say(f"into {kubectl}, overlay {stack.kubernetes.overlay}")
            self._package.write(stack)
            self._make_namespace(kubectl)
            preflight.check_given(stack, kubectl)
            self._write_record(stack)
            write_private(self._configured, configured.model_dump_json(indent=2))
            if before is None:
                with undone_on_failure(self._delete):
                    self._roll_out(stack, kubectl, show)
            else:
                self._roll_out(stack, kubectl, show)
            say(_how_to_reach(stack, kubectl))
        return stack

    def down(self) -> int:
        """Delete the stack's objects where it was started; return how many pods there were.

        What does not carry this stack's label stays, and so do the volumes and the namespace.
        Without a record of where it was started, no cluster is asked.
        """
        if self._running() is None:
            return 0
        with locked(self.state / "run"):
            return self._delete()

    def status(self) -> list[Status]:
        """Return every pod as it is now. Raises `NotHealthy` when nothing runs."""
        kubectl = kubectl_of(self.running())
        return [
            Status(
                name=one.name,
                kind=one.kind,
                port=one.port,
                pid=None,
                state=one.state,
                log=f"{' '.join(kubectl.words)} logs {one.pod}",
                uptime_seconds=one.uptime_seconds,
                restarts=one.restarts,
            )
            for one in self._pods(kubectl)
        ]

    def reached(self) -> Stack:
        """Return the stack at ports of this machine, which lead to it while this process runs.

        Raises:
            NotHealthy: nothing runs, or a pod is not ready or cannot be reached.
        """
        stack = self.running()
        return reached(stack, kubectl_of(stack), PART_OF_PULSE)

    def restart(self, names: Sequence[str], show: Show) -> None:
        """Roll workloads out anew, all at the same time; none named means all.

        Raises:
            ConfigError: a name is not a workload of the stack.
            NotHealthy: nothing runs, or a new pod did not become ready.
        """
        stack = self.running()
        kubectl = kubectl_of(stack)
        with locked(self.state / "run"):
            workloads = self._workloads(kubectl)
            chosen = [_base(name, workloads) for name in names] or list(workloads)
            kubectl.run("rollout", "restart", *(workloads[name] for name in chosen))
            selector = f"{rollout.NAME} in ({','.join(chosen)})"
            self._wait(stack, kubectl, selector, show)

    def scale(self, service: ServiceName, replicas: int, show: Show) -> Stack:
        """Run `replicas` pods of a service, or at least as many where it scales by itself.

        Raises:
            ConfigError: the number is not allowed, or PostgreSQL has too few connections.
            NotHealthy: nothing runs, or a new pod did not become ready.
        """
        old = self.running()
        kubectl = kubectl_of(old)
        with locked(self.state / "run"):
            new = self._scaled(old, service, replicas)
            scales_itself = new.kubernetes.overlay != "dev"
            if scales_itself:
                patch = f'{{"spec": {{"minReplicas": {replicas}}}}}'
                target = f"horizontalpodautoscaler/{service}"
                kubectl.run("patch", target, "--type=merge", f"--patch={patch}")
            now = sum(pod.app == service for pod in self._pods(kubectl))
            if now < replicas or not scales_itself:
                kubectl.run("scale", f"deployment/{service}", f"--replicas={replicas}")
            self._wait(new, kubectl, f"{rollout.NAME}={service}", show)
            if not scales_itself:
                rollout.wait_gone(
                    kubectl, f"{rollout.NAME}={service}", DRAIN.service + SPARE_SECONDS
                )
            self._write_record(new)
        return new

    def kill(self, name: str) -> float:
        """Make the process of a service's pod crash; its node starts it again.

        Returns:
            When it was struck (`time.monotonic`).

        Raises:
            ConfigError: there is no such pod.
            NotHealthy: nothing runs, or the process goes on.
            Unusable: kubectl may not run anything in pods.
        """
        kubectl = kubectl_of(self.running())
        one = next((pod for pod in self._pods(kubectl) if pod.name == name), None)
        if one is None:
            raise ConfigError(f"the stack has no pod {name!r}; see: pulse status")
        return crash(kubectl, one)

    def ready(self, name: str) -> bool:
        """Whether a service's instance gets requests."""
        kubectl = kubectl_of(self.running())
        return any(pod.name == name and pod.ready for pod in self._pods(kubectl))

    def log(self, name: str) -> str:
        """Return the command that prints a workload's log."""
        words = kubectl_of(self._running() or self._failed or Stack()).words
        return " ".join((*words, "logs", "--selector", f"{rollout.NAME}={name}"))

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the last lines that a workload's pods wrote; none when they wrote nothing.

        Of a container that crashed it is what it wrote before.
        """
        stack = self._running()
        if stack is None:
            return self._wrote.get(name, [])[-count:]
        app = name.removesuffix("-canary")
        selector = f"{PART_OF_PULSE},{rollout.NAME}={app}"
        return logs.last_lines(kubectl_of(stack), selector, count)

    def lines(
        self, configured: Stack, names: Sequence[str], count: int, follow: bool
    ) -> Iterator[Line]:
        """Yield the last lines of the pods' logs, and with `follow` every new one.

        Raises:
            ConfigError: a name is not a workload or pod of the stack.
            NotHealthy: nothing runs: the logs of pods go with them.
        """
        kubectl = kubectl_of(self.running())
        chosen = logs.choose(self._pods(kubectl), names)
        yield from logs.lines(kubectl, PART_OF_PULSE, chosen, count, follow)

    def _running(self) -> Stack | None:
        return recorded_stack(self._place)

    def _write_record(self, stack: Stack) -> None:
        """Write down what runs, and for `pulse down` where, whatever becomes of the first."""
        for file in (self._place, self._record):
            write_private(file, stack.model_dump_json(indent=2))

    def _pods(self, kubectl: Kubectl) -> list[Pod]:
        return pods(kubectl, PART_OF_PULSE)

    def _placed(self, configured: Stack, before: Stack | None) -> Stack:
        """Return the configured stack where it runs or shall run, as it was scaled."""
        wanted = configured.kubernetes
        if before is None:
            context = wanted.context or current_context()
            return _with(configured, context=context)
        was = before.kubernetes
        if wanted.namespace != was.namespace or wanted.context not in (None, was.context):
            raise ConfigError(
                f"this folder's stack runs in {kubectl_of(before)}, and the configuration names "
                f"another place; stop it first: pulse down"
            )
        services: dict[str, object] = {}
        earlier = self._configured_then()
        for name in SERVICE_NAMES:
            asked = configured.services[name]
            if earlier is not None and earlier.services[name].replicas == asked.replicas:
                asked = asked.model_copy(update={"replicas": before.services[name].replicas})
            services[name] = asked
        kept = configured.model_copy(
            update={"services": configured.services.model_copy(update=services)}
        )
        return _with(kept, context=was.context)

    def _make_namespace(self, kubectl: Kubectl) -> None:
        kubectl.run(
            "apply",
            *OWNER,
            f"--filename={self._package.folder / 'package' / 'base' / 'namespace.yaml'}",
        )

    def _roll_out(self, stack: Stack, kubectl: Kubectl, show: Show) -> None:
        if stack.kubernetes.secret_store is None or stack.kubernetes.overlay == "dev":
            secrets = credentials.manifests(stack, ensure_secrets(self.state), self._package.labels)
            kubectl.run("apply", *OWNER, "--filename=-", told=secrets)
        applied = self._package.apply(kubectl, BEFORE)
        self._wait(stack, kubectl, f"{PART_OF_PULSE},{BEFORE}", show)
        # A Job cannot be changed, only made anew; what it has done it does not do again.
        kubectl.run("delete", "jobs", "-l", MIGRATION, "--ignore-not-found")
        applied |= self._package.apply(kubectl, MIGRATION)
        self._wait(stack, kubectl, f"{PART_OF_PULSE},{MIGRATION}", show)
        applied |= self._package.apply(kubectl, AFTER)
        self._wait(stack, kubectl, f"{PART_OF_PULSE},{AFTER}", show)
        self._package.remove_stale(kubectl, applied)

    def _wait(self, stack: Stack, kubectl: Kubectl, selector: str, show: Show) -> None:
        try:
            rollout.wait(kubectl, selector, show, stack.kubernetes.timeout_seconds)
        except StartFailed as failure:
            self._failed = stack
            with suppress(PulseError):
                self._wrote[failure.name] = self.last_lines(failure.name, FAILURE_LINES)
            raise

    def _delete(self) -> int:
        kubectl = kubectl_of(self.running())
        running = sum(one.state != "done" for one in self._pods(kubectl))
        count = self._package.delete(kubectl)
        people().print(f"deleted {count} objects in {kubectl}; its volumes stay", soft_wrap=True)
        for file in (self._record, self._place, self._configured):
            file.unlink(missing_ok=True)
        return running

    def _workloads(self, kubectl: Kubectl) -> dict[str, str]:
        """Return what kubectl calls every workload, by its name."""
        printed = kubectl.run(
            "get", "deployments,statefulsets", "-l", self._package.selector, "--output=name"
        )
        return {name.rpartition("/")[2]: name for name in printed.split()}

    def _scaled(self, old: Stack, service: ServiceName, replicas: int) -> Stack:
        k = old.kubernetes
        if k.overlay == "dev":
            return scaled(old, service, replicas, connection_limit(self._configured_then() or old))
        if not k.autoscaling.least <= replicas <= k.autoscaling.most:
            raise ConfigError(
                f"{service}={replicas} is not between {k.autoscaling.least} and "
                f"{k.autoscaling.most} (kubernetes.autoscaling); the connections are counted for "
                f"that: {explain_connections(old)} of {k.managed.postgres_connections}"
            )
        own = old.services[service].model_copy(update={"replicas": replicas})
        return old.model_copy(update={"services": old.services.model_copy(update={service: own})})

    def _configured_then(self) -> Stack | None:
        try:
            return Stack.model_validate_json(self._configured.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


def _how_to_reach(stack: Stack, kubectl: Kubectl) -> str:
    words = " ".join(kubectl.words)
    if stack.kubernetes.overlay == "dev":
        return f"reach it with: {words} port-forward service/gateway {stack.gateway.port}:80"
    return f"its address, once the load balancer has one: {words} get service gateway"


def _with(stack: Stack, **values: object) -> Stack:
    return stack.model_copy(update={"kubernetes": stack.kubernetes.model_copy(update=values)})


def _base(name: str, workloads: dict[str, str]) -> str:
    for known in (name, name.rpartition("-")[0]):
        if known in workloads:
            return known
    raise ConfigError(f"the stack has no workload {name!r}; it has {', '.join(sorted(workloads))}")
