"""From what a run observed to its report."""

from __future__ import annotations

import platform
from importlib.metadata import version

from pulse_cli.bench import measure, processes, scrape
from pulse_cli.bench.judge import Instrument, conclude
from pulse_cli.bench.options import Options
from pulse_cli.bench.place import PROBE_PATH
from pulse_cli.bench.plan import SCENARIO_ERROR
from pulse_cli.bench.report import Environment, Floor, GeneratorReport, LoadReport, Report
from pulse_cli.bench.run import Observation
from pulse_cli.stack.model import Stack


def summarise(stack: Stack, options: Options, seen: Observation) -> Report:
    """Measure, judge and conclude."""
    client = seen.client.report()
    if seen.usage is not None:
        cpu = processes.cpu_us_per_request(*seen.usage, client.rate)
    else:
        cpu = scrape.cpu_us_per_request(seen.before, seen.after, client.requests)
    windows = scrape.between(seen.before, seen.after)
    services = measure.services(stack, windows, cpu)
    database = measure.database(windows)
    feed = measure.feed(windows)
    gateway, gateway_check = measure.gateway(
        seen.pairs,
        PROBE_PATH,
        seen.client.timeline.opens,
        target=stack.targets.gateway_overhead_p95_ms,
        seed=options.seed,
    )
    checks = [
        *seen.client.checks(stack.targets, options.seed),
        *measure.service_checks(services, stack.targets),
        measure.database_check(database, stack.targets),
        *measure.feed_checks(feed, stack.targets),
        gateway_check,
    ]
    verdict, reasons = conclude(checks, _instrument(stack, seen))
    return Report(
        scenario=options.scenario,
        environment=_environment(stack, seen, cpu),
        load=_load(options, seen),
        client=client,
        endpoints=seen.client.endpoints(),
        seconds=seen.client.seconds(),
        services=services,
        database=database,
        feed=feed,
        gateway=gateway,
        checks=checks,
        verdict=verdict,
        reasons=reasons,
    )


def _instrument(stack: Stack, seen: Observation) -> Instrument:
    faults = [
        f"the scenario itself failed: {reason} ({count} times)"
        for (endpoint, reason), count in seen.client.drive.failures.items()
        if endpoint == SCENARIO_ERROR
    ]
    return Instrument(
        budget_p95=stack.targets.p95_ms,
        floor_p95=seen.floor.plain.p95_ms if seen.floor is not None else None,
        late_p95=seen.client.late_p95,
        cpu_shares=seen.client.cpu_shares,
        cpu_warning=seen.client.drive.cpu_warning,
        intended=seen.client.drive.intended,
        answered=seen.client.answered,
        others_share=processes.others_share(*seen.usage) if seen.usage is not None else None,
        disturbances=[
            *scrape.restarts(seen.before, seen.after),
            *(processes.restarts(*seen.usage) if seen.usage is not None else ()),
            *faults,
        ],
    )


def _load(options: Options, seen: Observation) -> LoadReport:
    plan = seen.plan
    generator = GeneratorReport(
        processes=seen.generators,
        cpu_shares=seen.client.cpu_shares,
        late_p95_ms=seen.client.late_p95,
        floor=_floor(seen),
    )
    return LoadReport(
        users=options.users,
        accounts=len(plan.identities),
        source_addresses=_source_addresses(seen),
        period_s=plan.period,
        intended_rate=options.rate,
        intended_requests=seen.client.drive.intended,
        ramp_s=options.ramp,
        warmup_s=options.warmup,
        duration_s=options.duration,
        timeout_s=plan.timeout,
        seed=options.seed,
        generator=generator,
    )


def _floor(seen: Observation) -> Floor | None:
    if seen.floor is None:
        return None
    found = seen.floor.report()
    return Floor(**seen.floor.plain.model_dump(), requests=found.requests, rate=found.rate)


def _source_addresses(seen: Observation) -> int:
    """On loopback each user has one of its own, in a cluster each pod."""
    sources = {seen.plan.source(index) for index in range(seen.plan.users)}
    return len(sources) if None not in sources else seen.generators


def _environment(stack: Stack, seen: Observation, cpu: dict[str, float]) -> Environment:
    return Environment(
        **seen.environment,
        started_at=seen.started.isoformat(timespec="seconds"),
        pulse=version("pulse-platform"),
        locust=version("locust"),
        python=platform.python_version(),
        target=stack.target,
        cpu_us_per_request=cpu,
        others_cpu_share=processes.others_share(*seen.usage) if seen.usage else None,
    )
