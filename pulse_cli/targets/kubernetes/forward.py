"""Reaching pods from this machine: a `kubectl port-forward` each, as long as this process runs."""

from __future__ import annotations

import atexit
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

from pulse_cli.errors import NotHealthy
from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack
from pulse_cli.targets import probes
from pulse_cli.targets.kubernetes.kubectl import Kubectl, find
from pulse_cli.targets.kubernetes.pods import Pod, pods
from pulse_cli.targets.local import ports

LOOPBACK = "127.0.0.1"
OPEN_SECONDS = 20.0
POLL_SECONDS = 0.1
STOP_SECONDS = 2.0
GATEWAY_HTTP = 8000


def reached(stack: Stack, kubectl: Kubectl, selector: str) -> Stack:
    """Return the stack as this machine reaches it: each ready pod on a free port of its own.

    Instance `i` of a service has the port that the returned stack says, as on every target.

    Raises:
        NotHealthy: a service has no pod that is ready, or a forward does not open.
    """
    running = [pod for pod in pods(kubectl, selector) if pod.ready]
    counts = {name: sum(pod.app == name for pod in running) for name in SERVICE_NAMES}
    missing: list[str] = [name for name, count in counts.items() if count == 0]
    missing += [] if any(pod.app == "gateway" for pod in running) else ["gateway"]
    if missing:
        raise NotHealthy(f"no pod is ready of {', '.join(missing)} in {kubectl}; see: pulse status")
    services: dict[str, object] = {
        name: stack.services[name].model_copy(update={"replicas": counts[name]})
        for name in SERVICE_NAMES
    }
    gateway = stack.gateway.model_copy(update={"host": LOOPBACK})
    counted = stack.model_copy(
        update={"services": stack.services.model_copy(update=services), "gateway": gateway}
    )
    local = ports.isolated(counted)
    forwards = Forwards(kubectl)
    atexit.register(forwards.close)
    for pod, port, remote in _wanted(running, local):
        forwards.open(pod.pod, port, remote)
    forwards.wait()
    return local


def _wanted(running: list[Pod], local: Stack) -> Iterator[tuple[Pod, int, int]]:
    """Yield each pod, the port that it shall have here, and its own."""
    stores = {
        "postgres": local.postgres.port,
        "redis": local.redis.port,
        "rabbitmq": local.rabbitmq.port,
    }
    seen: dict[str, int] = {}
    for pod in running:
        index = seen[pod.app] = seen.get(pod.app, -1) + 1
        if pod.port is None:
            continue
        for name in SERVICE_NAMES:
            if name == pod.app:
                yield pod, local.instance_port(name, index), pod.port
        if pod.app == "gateway" and index == 0:
            yield pod, local.gateway.port, GATEWAY_HTTP
        if pod.app in stores and index == 0:
            yield pod, stores[pod.app], pod.port


class Instances:
    """Every service's pods, each at a port of this machine, as long as this process runs."""

    def __init__(self, kubectl: Kubectl, selector: str) -> None:
        """Take what finds the pods."""
        self.ports: dict[tuple[ServiceName, int], int] = {}
        """Of all that were found so far, gone ones too."""
        self._kubectl = kubectl
        self._selector = selector
        self._known: set[str] = set()
        self._forwards = Forwards(kubectl)
        atexit.register(self._forwards.close)

    def find(self) -> dict[tuple[ServiceName, int], int]:
        """Reach the ready pods that are new since the last time; return their ports.

        Raises:
            NotHealthy: one cannot be reached.
        """
        new: dict[tuple[ServiceName, int], int] = {}
        for pod in pods(self._kubectl, self._selector):
            name = next((name for name in SERVICE_NAMES if name == pod.app), None)
            if name is None or pod.port is None or not pod.ready or pod.pod in self._known:
                continue
            index = sum(known == name for known, _ in (*self.ports, *new))
            new[name, index] = port = ports.any_free({*self.ports.values(), *new.values()})
            self._forwards.open(pod.pod, port, pod.port)
            self._known.add(pod.pod)
        self._forwards.wait()
        self.ports |= new
        return new


class Forwards:
    """Processes that forward ports, stopped together."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._open: list[tuple[str, int, subprocess.Popen[str]]] = []

    def open(self, pod: str, port: int, remote: int) -> None:
        """Begin to forward a local port to a pod's."""
        words = (f"--address={LOOPBACK}", f"pod/{pod}", f"{port}:{remote}")
        child = subprocess.Popen(
            [find(), *self._kubectl.words[1:], "port-forward", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._open.append((pod, port, child))

    def wait(self) -> None:
        """Wait until all are open. Raises `NotHealthy` when one is not, and closes the others."""
        deadline = time.monotonic() + OPEN_SECONDS
        for pod, port, child in self._open:
            while not probes.tcp(LOOPBACK, port).ready:
                ended = child.poll() is not None
                if ended or time.monotonic() > deadline:
                    said = ""
                    if ended and child.stderr is not None:
                        said = child.stderr.read()
                    self.close()
                    if said:
                        raise self._kubectl.explained(said)
                    raise NotHealthy(f"{pod} cannot be reached: its port-forward does not open")
                time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Stop them all."""
        for _, _, child in self._open:
            child.terminate()
        for _, _, child in self._open:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stderr is not None:
                child.stderr.close()
        self._open.clear()
