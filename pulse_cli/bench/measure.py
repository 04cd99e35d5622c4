"""From samples, probe pairs and snapshots to the parts of the report and their checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pulse_cli.bench.drive import Drive
from pulse_cli.bench.judge import (
    MIN_REQUESTS,
    Check,
    judge_errors,
    judge_interval,
    judge_value,
)
from pulse_cli.bench.pacing import Timeline
from pulse_cli.bench.report import (
    ClientReport,
    DatabaseReport,
    EndpointReport,
    Failure,
    FeedReport,
    GatewayReport,
    QueryReport,
    SecondReport,
    ServiceReport,
    Spread,
)
from pulse_cli.bench.scrape import Histogram, Window
from pulse_cli.bench.statistics import difference_interval, percentile, percentile_interval
from pulse_cli.stack.model import ServiceName, Stack, Targets

P95 = 0.95
NEW_POST = "POST /api/v1/posts"
BLOCK_SECONDS = 1.0
MS = 1000.0


class Client:
    """The users' side of the measured window."""

    def __init__(self, drive: Drive, timeline: Timeline) -> None:
        self.drive = drive
        self.timeline = timeline
        self._inside = drive.samples.within(timeline.opens, timeline.closes)
        samples = drive.samples
        self._latency = [samples.latency[i] * MS for i in self._inside]
        self._corrected = [samples.corrected(i) * MS for i in self._inside]
        self._blocks = [
            int((samples.intended[i] - timeline.opens) / BLOCK_SECONDS) for i in self._inside
        ]
        self.answered = len(self._inside)
        self.requests = self.answered + drive.unanswered
        self.errors = sum(not samples.ok[i] for i in self._inside) + drive.unanswered

    @property
    def plain(self) -> Spread:
        """Latencies from the send."""
        return spread(self._latency)

    @property
    def cpu_shares(self) -> list[float]:
        """How much of a core each generator used in the window (0 to 1)."""
        return self.drive.cpu_shares(self.timeline)

    @property
    def late_p95(self) -> float:
        """How late the generator sent, in ms."""
        return spread([self.drive.samples.late[i] * MS for i in self._inside]).p95_ms

    def report(self) -> ClientReport:
        """Sum up what the users saw."""
        failures = [
            Failure(endpoint=endpoint, reason=reason, count=count)
            for (endpoint, reason), count in self.drive.failures.most_common()
        ]
        return ClientReport(
            **self.plain.model_dump(),
            requests=self.requests,
            rate=self.answered / self.timeline.duration,
            errors=self.errors,
            error_rate=self.errors / self.requests if self.requests else 0.0,
            corrected=spread(self._corrected),
            failures=failures,
        )

    def endpoints(self) -> list[EndpointReport]:
        """Sum up each endpoint, the busiest first."""
        samples = self.drive.samples
        groups: dict[int, list[int]] = {}
        for i in self._inside:
            groups.setdefault(samples.endpoint[i], []).append(i)
        found = [
            EndpointReport(
                **spread([samples.latency[i] * MS for i in group]).model_dump(),
                name=self.drive.endpoints[number],
                requests=len(group),
                rate=len(group) / self.timeline.duration,
                errors=sum(not samples.ok[i] for i in group),
            )
            for number, group in groups.items()
        ]
        return sorted(found, key=lambda endpoint: -endpoint.requests)

    def seconds(self) -> list[SecondReport]:
        """Sum up each second of the window."""
        groups: dict[int, list[int]] = {}
        for place, second in enumerate(self._blocks):
            groups.setdefault(second, []).append(place)
        found = []
        for second, places in sorted(groups.items()):
            times = spread([self._latency[place] for place in places])
            failed = sum(not self.drive.samples.ok[self._inside[place]] for place in places)
            found.append(
                SecondReport(
                    at_s=second,
                    requests=len(places),
                    errors=failed,
                    p50_ms=times.p50_ms,
                    p95_ms=times.p95_ms,
                )
            )
        return found

    def checks(self, targets: Targets, seed: int) -> Iterable[Check]:
        """Hold what the users saw against the targets."""
        for name, values in (
            ("client_p95", self._latency),
            ("client_p95_corrected", self._corrected),
        ):
            interval = percentile_interval(values, self._blocks, P95, seed)
            yield judge_interval(name, targets.p95_ms, spread(values).p95_ms, interval)
        yield judge_errors(targets.error_rate, self.errors, self.requests)


def spread(values: Sequence[float]) -> Spread:
    """Describe a distribution of times in ms; all zero when empty."""
    if not values:
        return Spread(mean_ms=0, p50_ms=0, p95_ms=0, p99_ms=0, max_ms=0)
    ordered = sorted(values)
    return Spread(
        mean_ms=sum(ordered) / len(ordered),
        p50_ms=percentile(ordered, 0.5),
        p95_ms=percentile(ordered, P95),
        p99_ms=percentile(ordered, 0.99),
        max_ms=ordered[-1],
    )


def services(
    stack: Stack,
    windows: Mapping[ServiceName, Window],
    cpu_us: Mapping[str, float],
) -> dict[str, ServiceReport]:
    """Sum up each service by its own account."""
    return {
        name: ServiceReport(
            instances=stack.services[name].replicas,
            requests=round(window.requests.count),
            mean_ms=_ms(window.requests.mean),
            p50_ms=_ms(window.requests.quantile(0.5)),
            p95_ms=_ms(window.requests.quantile(P95)),
            p99_ms=_ms(window.requests.quantile(0.99)),
            cpu_us_per_request=cpu_us.get(name, 0.0),
        )
        for name, window in windows.items()
    }


def service_checks(found: Mapping[str, ServiceReport], targets: Targets) -> Iterable[Check]:
    """Judge each service that had enough requests for a p95; the others took no part."""
    for name, service in found.items():
        if service.requests >= MIN_REQUESTS:
            yield judge_value(f"service_p95.{name}", targets.service_p95_ms, service.p95_ms)


def database(windows: Mapping[ServiceName, Window]) -> DatabaseReport:
    """Sum up all queries, those that took the most time in all first."""
    everything = Histogram()
    per_query = []
    for service, window in windows.items():
        for query, histogram in window.queries.items():
            everything.add(histogram)
            if (mean := _ms(histogram.mean)) is not None:
                count = round(histogram.count)
                row = QueryReport(service=service, query=query, count=count, mean_ms=mean)
                per_query.append(row)
    per_query.sort(key=lambda row: -row.count * row.mean_ms)
    return DatabaseReport(
        queries=round(everything.count), mean_ms=_ms(everything.mean), per_query=per_query
    )


def database_check(found: DatabaseReport, targets: Targets) -> Check:
    """Judge the mean of all queries."""
    return judge_value("database_mean", targets.database_mean_ms, found.mean_ms)


def feed(windows: Mapping[ServiceName, Window]) -> FeedReport:
    """Sum up how long new posts took into feeds."""
    made = windows["posts"].succeeded[NEW_POST]
    lags = windows["social"].lags["post.created"]
    everything = Histogram()
    everything.add(lags)
    if made > lags.count > 0:
        # Without these, posts that nobody brings into feeds would look like a quick few.
        everything.add(Histogram({math.inf: made - lags.count}, count=made - lags.count))
    return FeedReport(
        posts=round(made),
        arrived=round(lags.count),
        mean_ms=_ms(lags.mean),
        p50_ms=_ms(everything.quantile(0.5)),
        p95_ms=_ms(everything.quantile(P95)),
        p99_ms=_ms(everything.quantile(0.99)),
    )


def feed_checks(found: FeedReport, targets: Targets) -> Iterable[Check]:
    """Judge it, unless no posts were made, as in a scenario that has none."""
    if not found.posts:
        return
    name, target = "post_to_feed_p95", targets.post_to_feed_p95_ms
    if found.posts < MIN_REQUESTS:
        check = judge_value(name, target, None)
        check.reason = f"{name}: {found.posts} posts are too few; measure longer"
    elif not found.arrived:
        reason = f"{name}: none of {found.posts} posts came into a feed"
        check = judge_value(name, target, None).model_copy(
            update={"verdict": "fail", "reason": reason}
        )
    else:
        check = judge_value(name, target, found.p95_ms)
    yield check


def gateway(
    pairs: Mapping[str, Sequence[float]], path: str, opens: float, *, target: float, seed: int
) -> tuple[GatewayReport, Check]:
    """Sum up and judge what the gateway adds: p95 through it less p95 straight to the service."""
    through = [seconds * MS for seconds in pairs["gateway"]]
    direct = [seconds * MS for seconds in pairs["direct"]]
    name = "gateway_overhead_p95"
    if not through:
        report = GatewayReport(pairs=0, path=path)
        return report, judge_value(name, target, None)
    blocks = [int((at - opens) / BLOCK_SECONDS) for at in pairs["at"]]
    via, straight = spread(through), spread(direct)
    overhead = via.p95_ms - straight.p95_ms
    report = GatewayReport(
        pairs=len(through),
        path=path,
        through_p50_ms=via.p50_ms,
        through_p95_ms=via.p95_ms,
        direct_p50_ms=straight.p50_ms,
        direct_p95_ms=straight.p95_ms,
        overhead_p50_ms=via.p50_ms - straight.p50_ms,
        overhead_p95_ms=overhead,
    )
    interval = difference_interval(through, direct, blocks, share=P95, seed=seed)
    return report, judge_interval(name, target, overhead, interval)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MS
