"""`pulse bench` and `pulse verify` in a cluster: pods make the load, pods tell their metrics."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from pydantic import SecretStr

from pulse_cli.bench.drive import Drive
from pulse_cli.bench.identities import Seed
from pulse_cli.bench.options import Options
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.place import PROBE_PATH, Pairs
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.bench.probe import ProbePlan
from pulse_cli.bench.scrape import Texts, scrape
from pulse_cli.errors import ConfigError
from pulse_cli.render.kubernetes.drain import DRAIN
from pulse_cli.render.kubernetes.load import DOOR_PORT
from pulse_cli.stack.kubernetes import MOST_WORKERS
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import OPERATOR, ensure_secrets
from pulse_cli.targets.kubernetes.forward import Instances
from pulse_cli.targets.kubernetes.kubectl import kubectl_of
from pulse_cli.targets.kubernetes.pods import PART_OF_PULSE, pods
from pulse_cli.targets.kubernetes.workers import Pods, Workers

MOST_ACCOUNTS = 1000
"""Accounts whose tokens fit into one Secret (1 MiB); more users share them."""

LIMIT_SHARE = 0.8
"""Of what the gateway lets one address send, used of each: requests of a second come unevenly."""

GRACE_SECONDS = 60.0


class Cluster:
    """The namespace that the stack runs in; nothing that is measured passes this machine."""

    calibrated = False
    settle_seconds = float(DRAIN.looked_up)
    about = "the load is made by pods, so neither the API server nor a port-forward is measured"

    def __init__(self, stack: Stack, state: Path) -> None:
        """Take a stack that runs on Kubernetes, and its state folder."""
        self._stack = stack
        self._state = state
        self._kubectl = kubectl_of(stack)
        self._workers = Workers(stack, state, self._kubectl)
        self._instances = Instances(self._kubectl, PART_OF_PULSE)

    @cached_property
    def gateway(self) -> tuple[str, int]:
        """The gateway's address inside the cluster."""
        return self._workers.door(), DOOR_PORT

    def fit(self, options: Options) -> Options:
        """Return the options with as many pods as the rate needs.

        The gateway's limits are per client address, and a pod has one.

        Raises:
            ConfigError: it is more than so many pods may send.
        """
        limit = self._stack.gateway.requests_per_second
        needed = math.ceil(options.rate / (LIMIT_SHARE * limit))
        most = min(options.users, MOST_WORKERS)
        if needed > most:
            raise ConfigError(
                f"--rate {options.rate:g} is more than the gateway lets {most} addresses send "
                f"({most} x {limit}/s, of which {LIMIT_SHARE:.0%} are used); lower it, or raise "
                "gateway.requests_per_second of the stack that is measured"
            )
        workers = max(needed, min(self._stack.kubernetes.bench_workers, most))
        return replace(options, processes=workers)

    async def identities(
        self, seed: Seed, options: Options, advance: Callable[[], None]
    ) -> Sequence[Identity]:
        """Sign tokens as log-ins do: a cluster's few addresses may not log in a thousand."""
        key = ensure_secrets(self._state).get(OPERATOR, "token_key")
        now = int(time.time())
        lasting = options.ramp + options.warmup + options.duration + GRACE_SECONDS
        claims: dict[str, object] = {
            "iss": self._stack.tokens.issuer,
            "aud": self._stack.tokens.audience,
            "iat": now,
            "exp": now + int(lasting) + 2 * self._stack.kubernetes.timeout_seconds,
        }
        found = []
        for user in seed.users[: min(options.users, MOST_ACCOUNTS)]:
            own = {**claims, "sub": str(user.id), "sid": str(uuid4())}
            token = SecretStr(jwt.encode(own, key, "HS256"))
            found.append(Identity(id=user.id, username=user.username, token=token))
            advance()
        return found

    def drive(self, plans: Sequence[Plan], probed: bool) -> Drive:
        """Return Locust's master and workers, not yet started."""
        return Pods(self._workers, plans, self._probe_plan(plans[0]) if probed else None)

    async def probe(self, drive: Drive, timeline: Timeline) -> Pairs:
        """Return what the master measured meanwhile."""
        if not isinstance(drive, Pods):
            raise TypeError("the generators of a cluster are pods")
        pairs = await drive.pairs
        return pairs | {"at": [timeline.opens + at for at in pairs["at"]]}

    async def scrape(self) -> Texts:
        """Return the metrics of every pod of a service, known ones first."""
        known = await scrape(self._instances.ports)
        return {**known, **await scrape(await asyncio.to_thread(self._instances.find))}

    def usage(self) -> None:
        """Return nothing: the processes are on machines that cannot be looked at."""

    def environment(self) -> dict[str, Any]:
        """Return which Kubernetes it is; its machines may be of any kind."""
        return {"platform": f"Kubernetes {self._kubectl.server_version()}"}

    def _probe_plan(self, plan: Plan) -> ProbePlan:
        """Return what the gateway's overhead is measured with; the master knows the times."""
        addresses = [
            (one.address, one.port)
            for one in pods(self._kubectl, PART_OF_PULSE)
            if one.app == "users" and one.ready and one.address and one.port
        ]
        return ProbePlan(
            gateway=(plan.host, plan.port),
            instances=addresses,
            path=PROBE_PATH,
            token=plan.identities[0].token,
            source=None,
            opens=0.0,
            closes=0.0,
        )
