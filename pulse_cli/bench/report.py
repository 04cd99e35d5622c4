"""The report of a run: what `--json` writes, and what tests validate.

Times are in ms. A share is between 0 and 1. All requests of the measured window count, the failed
ones too; percentiles are nearest-rank over every sample.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulse_cli.bench.judge import Check, Verdict
from pulse_cli.errors import Unusable
from pulse_cli.files import write_public

SCHEMA = 1
"""Raised when a key changes its meaning or goes away; new keys do not raise it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Spread(_Part):
    """A distribution of times."""

    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Floor(Spread):
    """What the generator measures of a trivial server under the same users, rate and pacing."""

    requests: int
    rate: float


class GeneratorReport(_Part):
    """The instrument."""

    processes: int
    cpu_shares: list[float]
    """Of a core, by process, in the window."""
    late_p95_ms: float
    """From when a user could have sent to when it did."""
    floor: Floor | None
    """None where it cannot be measured: in a cluster."""


class LoadReport(_Part):
    """The load that was offered."""

    model: Literal["constant pacing, random phase"] = "constant pacing, random phase"
    users: int
    accounts: int
    """Distinct accounts that the users act as."""
    source_addresses: int
    """Distinct client addresses that the gateway sees."""
    period_s: float
    """Between two requests of one user."""
    intended_rate: float
    intended_requests: int
    """In the window."""
    ramp_s: float
    warmup_s: float
    duration_s: float
    timeout_s: float
    seed: int
    generator: GeneratorReport


class Failure(_Part):
    """Failed requests of one kind, ramp and warm-up included."""

    endpoint: str
    reason: str
    count: int


class ClientReport(Spread):
    """What the users saw in the measured window, timed from the send."""

    requests: int
    rate: float
    errors: int
    error_rate: float
    corrected: Spread
    """The same requests timed from their intended starts."""
    failures: list[Failure]


class EndpointReport(Spread):
    """One method and route template."""

    name: str
    requests: int
    rate: float
    errors: int


class SecondReport(_Part):
    """The requests that were due in one second of the window; one without answers is left out."""

    at_s: int
    """From the window's opening."""
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float


class ServiceReport(_Part):
    """One service by its own histogram, all instances together; None without requests."""

    instances: int
    requests: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_us_per_request: float
    """CPU time of the service over requests *of clients*, so that components add up."""


class QueryReport(_Part):
    """One named query."""

    service: str
    query: str
    count: int
    mean_ms: float


class DatabaseReport(_Part):
    """All queries, as the services time them."""

    queries: int
    mean_ms: float | None
    per_query: list[QueryReport]


class FeedReport(_Part):
    """From the commit of a post to its id standing in its author's followers' timelines.

    By the social service's own histogram. Posts that are in no timeline yet when the window closes
    count as slower than all others; a time beyond its last bound is told as that bound.
    """

    posts: int
    """Made in the window."""
    arrived: int
    """Brought into timelines in the window."""
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class GatewayReport(_Part):
    """Paired probes: the same GET through the gateway and straight to the service."""

    pairs: int
    path: str
    through_p50_ms: float | None = None
    through_p95_ms: float | None = None
    direct_p50_ms: float | None = None
    direct_p95_ms: float | None = None
    overhead_p50_ms: float | None = None
    overhead_p95_ms: float | None = None


class Environment(_Part):
    """Where it was measured; generator, stack and bench share the machine on target local.

    Of a cluster's machines nothing is known, but what services say of themselves.
    """

    started_at: str
    pulse: str
    locust: str
    python: str
    platform: str
    cpu: str | None = None
    cores: int | None = None
    memory_gb: float | None = None
    load_average: float | None = None
    """Of one minute, before the run."""
    target: str
    cpu_us_per_request: dict[str, float]
    """CPU time of each component in the window over the clients' requests."""
    others_cpu_share: float | None
    """Of the whole machine's CPU time in the window, used by neither stack nor bench."""


class Report(_Part):
    """The whole run."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True)

    version: int = Field(default=SCHEMA, alias="schema")
    scenario: str
    environment: Environment
    load: LoadReport
    client: ClientReport
    endpoints: list[EndpointReport]
    seconds: list[SecondReport]
    services: dict[str, ServiceReport]
    database: DatabaseReport
    feed: FeedReport
    gateway: GatewayReport
    checks: list[Check]
    verdict: Verdict
    reasons: list[str]


def check_writable(file: Path) -> None:
    """Find out before the run whether the report can be written. Raises `Unusable`."""
    if file.exists() and not file.is_file():  # it is replaced, which no device survives
        raise Unusable(f"cannot write the report {file}: it is no ordinary file")
    if not os.access(file.absolute().parent, os.W_OK):
        raise Unusable(f"cannot write the report {file}: its folder is missing or not writable")


def write(report: Report, file: Path) -> None:
    """Write a report as JSON, whole or not at all. Raises `OSError`."""
    write_public(file, report.model_dump_json(indent=2, by_alias=True) + "\n")
