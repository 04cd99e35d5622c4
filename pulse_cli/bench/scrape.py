"""What the services say of themselves: metrics at both ends of the measured window.

Rendering a service's metrics holds its loop for tens of milliseconds, so they are asked for just
before the window opens and just after it closes, never in it, and are parsed when the load is
over. What happened inside is the difference of the two.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pulse_cli.stack.model import SERVICE_NAMES, ServiceName, Stack

REQUESTS = "http_request_duration_seconds"
QUERIES = "db_query_duration_seconds"
LAGS = "event_lag_seconds"
STARTED = "process_start_time_seconds"
CPU = "process_cpu_seconds_total"

NOT_WORK = ("/health", "/metrics")
"""Routes of the platform's own machinery; their quick answers would flatter a service."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """A Prometheus histogram: cumulative counts by upper bound, in seconds."""

    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    total: float = 0.0
    count: float = 0.0

    def add(self, other: Histogram, sign: int = 1) -> None:
        """Add another histogram of the same buckets, or take it away with `sign` -1."""
        for bound, count in other.buckets.items():
            self.buckets[bound] += sign * count
        self.total += sign * other.total
        self.count += sign * other.count

    def quantile(self, share: float) -> float | None:
        """Return a quantile in seconds, interpolated inside its bucket; None when empty.

        Exact where it meets a bucket's bound. Beyond the last finite bound it is that bound.
        """
        if self.count <= 0:
            return None
        wanted, lower, below = share * self.count, 0.0, 0.0
        for bound in sorted(self.buckets):
            upto = self.buckets[bound]
            if upto >= wanted:
                if bound == float("inf"):
                    return lower
                return lower + (bound - lower) * (wanted - below) / (upto - below)
            lower, below = bound, upto
        return lower

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None when empty."""
        return self.total / self.count if self.count > 0 else None


@dataclass(frozen=True)
class Snapshot:
    """One instance's metrics at one moment."""

    started: float
    """When its process started (seconds since the epoch): another value means a restart."""
    requests: Mapping[Labels, Histogram]
    queries: Mapping[Labels, Histogram]
    lags: Mapping[Labels, Histogram]
    cpu: float
    """Seconds that its process has used since then."""


Instance = tuple[ServiceName, int]

Texts = Mapping[Instance, str | None]
"""Metrics by service and instance, unparsed; None for one that did not answer."""

Snapshots = Mapping[Instance, Snapshot | None]
"""By service and instance; None for one that did not answer."""


@dataclass(frozen=True)
class Window:
    """What one service did between two snapshots."""

    requests: Histogram
    queries: dict[str, Histogram]
    succeeded: dict[str, float]
    """How often it answered well (2xx), by method and route."""
    lags: dict[str, Histogram]
    """From an event's happening to its effect here, by the event's type."""


def doors(stack: Stack) -> dict[Instance, int]:
    """Return the port of every instance of a stack on this machine."""
    return {
        (name, index): stack.instance_port(name, index)
        for name in SERVICE_NAMES
        for index in range(stack.services[name].replicas)
    }


async def scrape(ports: Mapping[Instance, int]) -> Texts:
    """Ask every instance for its metrics, all at once; parse them with `read`."""
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
        answers = await asyncio.gather(*(_scrape_one(client, port) for port in ports.values()))
    return dict(zip(ports, answers, strict=True))


async def _scrape_one(client: httpx.AsyncClient, port: int) -> str | None:
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
        answer.raise_for_status()
    except httpx.HTTPError:
        return None
    return answer.text


def read(texts: Texts) -> Snapshots:
    """Parse what `scrape` got."""
    return {instance: None if text is None else parse(text) for instance, text in texts.items()}


def parse(text: str) -> Snapshot:
    """Read what the bench needs from Prometheus's text format."""
    started = cpu = 0.0
    histograms: dict[str, dict[Labels, Histogram]] = {
        REQUESTS: defaultdict(Histogram),
        QUERIES: defaultdict(Histogram),
        LAGS: defaultdict(Histogram),
    }
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == STARTED:
                started = sample.value
            elif sample.name == CPU:
                cpu = sample.value
            elif family.name in histograms:
                labels = dict(sample.labels)
                bound = labels.pop("le", None)
                found = histograms[family.name][tuple(sorted(labels.items()))]
                if bound is not None:
                    found.buckets[float(bound)] = sample.value
                elif sample.name.endswith("_sum"):
                    found.total = sample.value
                elif sample.name.endswith("_count"):
                    found.count = sample.value
    return Snapshot(started, histograms[REQUESTS], histograms[QUERIES], histograms[LAGS], cpu)


def between(before: Snapshots, after: Snapshots) -> dict[ServiceName, Window]:
    """Return what each service did from one round of snapshots to the next.

    Instances that are missing from a round, or that restarted, are left out.
    """
    windows: dict[ServiceName, Window] = {}
    for instance, old in before.items():
        new = after.get(instance)
        window = windows.setdefault(instance[0], _nothing())
        if old is None or new is None or old.started != new.started:
            continue
        for labels, histogram in new.requests.items():
            of = dict(labels)
            if not _is_work(of["route"]):
                continue
            change = _change(histogram, old.requests.get(labels))
            window.requests.add(change)
            if of["status"].startswith("2"):
                window.succeeded[f"{of['method']} {of['route']}"] += change.count
        for labels, histogram in new.queries.items():
            query = dict(labels)["query"]
            window.queries[query].add(_change(histogram, old.queries.get(labels)))
        for labels, histogram in new.lags.items():
            window.lags[dict(labels)["type"]].add(_change(histogram, old.lags.get(labels)))
    return windows


def _nothing() -> Window:
    return Window(Histogram(), defaultdict(Histogram), defaultdict(float), defaultdict(Histogram))


def _is_work(route: str) -> bool:
    return not route.startswith(NOT_WORK)


def _change(new: Histogram, old: Histogram | None) -> Histogram:
    change = Histogram()
    change.add(new)
    if old is not None:
        change.add(old, sign=-1)
    return change


def cpu_us_per_request(before: Snapshots, after: Snapshots, requests: int) -> dict[str, float]:
    """Return each service's CPU time in microseconds over one request of the clients.

    Instances that are missing from a round, or that restarted, are left out.
    """
    used: dict[str, float] = defaultdict(float)
    for instance, old in before.items():
        new = after.get(instance)
        if old is not None and new is not None and old.started == new.started and requests:
            used[instance[0]] += (new.cpu - old.cpu) / requests * 1e6
    return dict(sorted(used.items(), key=lambda item: -item[1]))


def restarts(before: Snapshots, after: Snapshots) -> Iterable[str]:
    """Yield a sentence for each instance that was not there all the time."""
    for service, index in after.keys() - before.keys():
        yield f"{service}-{index} joined during the run: the service was scaled"
    for (service, index), old in before.items():
        new = after.get((service, index))
        if old is None or new is None:
            yield f"{service}-{index} did not answer for its metrics"
        elif old.started != new.started:
            yield f"{service}-{index} was restarted during the run"
