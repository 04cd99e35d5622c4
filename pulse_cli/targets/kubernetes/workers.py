"""Locust's master and workers as pods, heard through the master's log.

What they measure stays in the cluster until it is told: only lines of text pass the API server, so
that neither it nor this machine is part of what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pulse_cli.bench.drive import LINE_LIMIT, Drive
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.place import Pairs
from pulse_cli.bench.plan import LINE, Plan
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.errors import PulseError
from pulse_cli.files import private_folder, write_private
from pulse_cli.render.kubernetes.load import DOOR, MASTER, NAME, WORKER, door, jobs
from pulse_cli.stack.model import Stack
from pulse_cli.targets.kubernetes import rollout
from pulse_cli.targets.kubernetes.credentials import PART_OF
from pulse_cli.targets.kubernetes.kubectl import OWNER, Kubectl, find
from pulse_cli.targets.kubernetes.package import COMPONENT, Package

LABEL = f"{COMPONENT}={NAME}"
KINDS = "jobs,services,secrets,networkpolicies,serviceaccounts"


class Workers:
    """The package of the load in one namespace."""

    def __init__(self, stack: Stack, state: Path, kubectl: Kubectl) -> None:
        """Take a stack that runs, and whom to tell."""
        self.kubectl = kubectl
        self.patience = stack.kubernetes.timeout_seconds
        self._stack = stack
        self._labels = Package(state).labels
        self._folder = state / "kubernetes" / NAME

    def door(self) -> str:
        """Make the Service that the load goes through; return its address."""
        self._write(door(self._stack))
        self.apply(f"{rollout.NAME}={DOOR}")
        return str(self.kubectl.json("get", "service", DOOR)["spec"]["clusterIP"])

    def prepare(self, plans: Sequence[Plan], probe: ProbePlan | None) -> None:
        """Delete the pods of an earlier run, and write down what those of this one shall do."""
        self.kubectl.run(
            "delete", "jobs", "-l", LABEL, "--cascade=foreground", "--ignore-not-found"
        )
        told = {"plan.json": plans[0].model_dump_json()}
        if probe is not None:
            told["probe.json"] = probe.model_dump_json()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": NAME,
                "namespace": self._stack.kubernetes.namespace,
                "labels": {COMPONENT: NAME, PART_OF: "pulse", **self._labels},
            },
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in told.items()},
        }
        self.kubectl.run("apply", *OWNER, "--filename=-", told=json.dumps(secret))
        self._write(jobs(self._stack, plans))

    def _write(self, manifests: str) -> None:
        own = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["bench.yaml"],
            "labels": [{"pairs": self._labels}],
        }
        private_folder(self._folder)
        write_private(self._folder / "bench.yaml", manifests)
        write_private(self._folder / "kustomization.yaml", json.dumps(own, indent=2))

    def apply(self, selector: str) -> None:
        """Apply the part that a selector finds of what was written last."""
        self.kubectl.run("apply", *OWNER, f"--kustomize={self._folder}", f"--selector={selector}")

    def delete(self) -> None:
        """Delete all of it."""
        self.kubectl.run("delete", KINDS, "-l", LABEL, "--ignore-not-found", "--wait=false")


class Pods(Drive):
    """A master and a worker for each plan."""

    def __init__(
        self, workers: Workers, plans: Sequence[Plan], probe: ProbePlan | None = None
    ) -> None:
        """Take the package, a plan for each worker, and what the master measures beside them."""
        super().__init__(plans)
        self.pairs: asyncio.Future[Pairs] = asyncio.get_running_loop().create_future()
        """What the master measured."""
        self._workers = workers
        self._kubectl = workers.kubectl
        self._probe = probe
        self._log: Process | None = None

    async def __aenter__(self) -> Self:
        """Start the master, listen to it, then start the workers, for it begins with the last."""
        try:
            await asyncio.to_thread(self._workers.prepare, self.plans, self._probe)
            await asyncio.to_thread(self._workers.apply, f"{rollout.NAME}!={WORKER}")
            await self._started(MASTER)
            self._log = await asyncio.create_subprocess_exec(
                *(find(), *self._kubectl.words[1:], "logs", "--follow", f"job/{MASTER}"),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                limit=LINE_LIMIT,
                start_new_session=True,  # a terminal's Ctrl-C reaches only us
            )
            await asyncio.to_thread(self._workers.apply, f"{rollout.NAME}={WORKER}")
            await self._started(WORKER)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Delete them."""
        await self._end()

    async def begin(self) -> Timeline:
        """Wait until the master has counted down to the origin."""
        origin = math.inf
        while (message := await self._hear())["kind"] != "begun":
            if message["kind"] == "tick":
                origin = min(origin, time.monotonic() + message["left"])
        return self._timeline(min(origin, time.monotonic()))

    async def gather(self) -> None:
        """Take in what the master prints until all workers are done, and its probe."""
        done = 0
        while done < len(self.plans) or not (self._probe is None or self.pairs.done()):
            message = await self._hear()
            if message["kind"] == "pairs":
                self.pairs.set_result(message["pairs"])
            elif message["worker"] >= len(self.plans):
                raise PulseError("a worker of the load was lost and another took its place")
            else:
                done += self._take(message["worker"], message)

    async def _hear(self) -> dict[str, Any]:
        """Return the master's next message. Raises `PulseError` when it has ended."""
        last = "it said nothing"
        if self._log is None or self._log.stdout is None:
            raise PulseError("the load was not started")
        while line := (await self._log.stdout.readline()).decode(errors="replace"):
            if line.startswith(LINE):
                message: dict[str, Any] = json.loads(line.removeprefix(LINE))
                return message
            if "|" not in line:  # Locust's own tables
                last = line.strip() or last
        raise PulseError(f"the load's master ended before its time: {last}")

    async def _started(self, job: str) -> None:
        """Wait until a Job's pods run. Raises `StartFailed`: one hangs."""
        selector = f"{rollout.NAME}={job}"
        rollouts = rollout.Rollouts(self._kubectl, selector, jobs_run=True)
        deadline = time.monotonic() + self._workers.patience
        while not await asyncio.to_thread(rollouts.look):
            if time.monotonic() >= deadline:
                raise await asyncio.to_thread(rollouts.late, self._workers.patience)
            await asyncio.sleep(rollout.POLL_SECONDS)

    async def _end(self) -> None:
        if self._log is not None:
            with contextlib.suppress(ProcessLookupError):
                self._log.terminate()
            await self._log.wait()
        await asyncio.to_thread(self._workers.delete)
