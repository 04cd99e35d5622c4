"""`pulse bench` in a cluster: Locust's master and workers as pods, judged by what users saw."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from pydantic import SecretStr

from pulse_cli.bench.identities import Seed, read_seed
from pulse_cli.bench.options import Options
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.errors import CheckFailed, ConfigError, Inconclusive, NotHealthy, PulseError
from pulse_cli.files import private_folder, write_private
from pulse_cli.render.kubernetes.load import DOOR, DOOR_PORT, NAME, door, load_files
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import OPERATOR, ensure_secrets
from pulse_cli.targets.kubernetes import rollout
from pulse_cli.targets.kubernetes.kubectl import Kubectl
from pulse_cli.targets.progress import Show

RESULT = "pulse-bench-result "
OWNER = ("--server-side", "--force-conflicts", "--field-manager=pulse")
MOST_ACCOUNTS = 1000
"""Accounts whose tokens fit into one Secret (1 MiB); more users share them."""

RATE_SHARE = 0.95
LATE_SHARE = 0.05
GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Measured:
    """What one endpoint's users saw, or those of all; milliseconds as Locust rounds them."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Result:
    """What the load found, and whether to believe it."""

    total: Measured
    endpoints: list[Measured]
    errors: dict[str, int]
    failed: list[str]
    doubts: list[str]

    @property
    def error(self) -> PulseError | None:
        """What the verdict ends in; `None` when everything passed."""
        if self.failed:
            return CheckFailed("; ".join(self.failed))
        if self.doubts:
            return Inconclusive("; ".join(self.doubts))
        return None


def bench(stack: Stack, state: Path, options: Options, show: Show) -> Result:
    """Run the load in the cluster and judge what it saw of the gateway.

    Raises:
        ConfigError: the gateway would refuse the rate, for its limits are per client address.
        NotHealthy: the stack is not seeded, or a pod of the load hangs.
        Unusable: the cluster is out of reach or refuses.
    """
    k = stack.kubernetes
    _check_rate(stack, options)
    context = k.context
    if context is None:
        raise NotHealthy("it is not recorded in which context the stack runs; see: pulse up")
    kubectl = Kubectl(context, k.namespace)
    read_seed(state)
    folder = private_folder(state / "kubernetes" / NAME)
    try:
        write_private(folder / "door.yaml", door(stack))
        kubectl.run("apply", *OWNER, f"--filename={folder / 'door.yaml'}")
        address = str(kubectl.json("get", "service", DOOR)["spec"]["clusterIP"])
        plan = _plan(stack, state, options, address)
        for name, text in load_files(stack, plan).items():
            write_private(folder / name, text)
        _apply(kubectl, stack, plan, folder)
        seconds = plan.ramp + plan.warmup + plan.duration + k.timeout_seconds + GRACE_SECONDS
        rollout.wait(kubectl, f"{rollout.NAME}={NAME}-master", show, seconds)
        printed = kubectl.run("logs", f"job/{NAME}-master")
    finally:
        kinds = "jobs,services,secrets,networkpolicies,serviceaccounts"
        kubectl.run("delete", kinds, "-l", f"app.kubernetes.io/component={NAME}", "--wait=false")
    return judged(stack, options, printed.splitlines())


def judged(stack: Stack, options: Options, lines: Iterable[str]) -> Result:
    """Hold what the master printed to the stack's targets.

    Raises:
        Inconclusive: it printed no result.
    """
    line = next((line for line in lines if line.startswith(RESULT)), None)
    told: dict[str, Any] = json.loads(line.removeprefix(RESULT)) if line else {}
    if not told.get("total"):
        raise Inconclusive("the load measured nothing; its master printed no result")
    total = Measured("all", **told["total"])
    targets = stack.targets
    share = total.failures / total.requests
    failed = []
    if total.p95_ms >= targets.p95_ms:
        failed.append(f"p95 is {total.p95_ms:g} ms, not below {targets.p95_ms:g}")
    if share >= targets.error_rate:
        failed.append(
            f"{total.failures} of {total.requests} requests failed ({share:.3%}), "
            f"not below {targets.error_rate:.3%}"
        )
    doubts = []
    if total.requests < RATE_SHARE * told["intended"]:
        doubts.append(f"only {total.requests} of {told['intended']} intended requests were sent")
    if told["late"] > LATE_SHARE * total.requests:
        doubts.append(
            f"the workers sent {told['late']} requests late: raise kubernetes.bench_workers"
        )
    endpoints = [Measured(name, **found) for name, found in sorted(told["endpoints"].items())]
    return Result(total, endpoints, told["errors"], failed, doubts)


def _check_rate(stack: Stack, options: Options) -> None:
    workers, limit = stack.kubernetes.bench_workers, stack.gateway.requests_per_second
    if options.rate > workers * limit:
        raise ConfigError(
            f"--rate {options.rate:g} is more than the gateway lets {workers} addresses send "
            f"({workers} x {limit}/s): raise kubernetes.bench_workers, or "
            "gateway.requests_per_second of the stack that is measured"
        )


def _plan(stack: Stack, state: Path, options: Options, address: str) -> Plan:
    seed = read_seed(state)
    key = ensure_secrets(state).get(OPERATOR, "token_key")
    return options.plan(seed, _identities(stack, seed, options, key), (address, DOOR_PORT))


def _identities(stack: Stack, seed: Seed, options: Options, key: str) -> list[Identity]:
    """Sign tokens as log-ins do: a cluster's few addresses may not log in a thousand at once."""
    now = int(time.time())
    lasting = options.ramp + options.warmup + options.duration + GRACE_SECONDS
    expires = now + int(lasting) + stack.kubernetes.timeout_seconds
    common = {"iss": stack.tokens.issuer, "aud": stack.tokens.audience, "iat": now, "exp": expires}
    return [
        Identity(
            id=user.id,
            username=user.username,
            token=SecretStr(
                jwt.encode({**common, "sub": str(user.id), "sid": str(uuid4())}, key, "HS256")
            ),
        )
        for user in seed.users[: min(options.users, MOST_ACCOUNTS)]
    ]


def _apply(kubectl: Kubectl, stack: Stack, plan: Plan, folder: Path) -> None:
    labels = {"app.kubernetes.io/component": NAME, "app.kubernetes.io/part-of": "pulse"}
    told = base64.b64encode(plan.model_dump_json().encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": stack.kubernetes.namespace, "labels": labels},
        "data": {"plan.json": told},
    }
    kubectl.run("delete", "jobs", "-l", f"app.kubernetes.io/component={NAME}", "--ignore-not-found")
    kubectl.run("apply", *OWNER, "--filename=-", told=json.dumps(secret))
    kubectl.run("apply", *OWNER, f"--kustomize={folder}")
