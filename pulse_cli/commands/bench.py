"""`pulse bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import Root

if TYPE_CHECKING:
    from pulse_cli.bench.options import Options


def bench(
    ctx: typer.Context,
    scenario: Annotated[str, typer.Argument(help="What the users do: mixed or platform.")],
    users: Annotated[int, typer.Option(min=1, max=1_000_000, help="Concurrent users.")] = 1000,
    rate: Annotated[
        float, typer.Option(min=0.1, help="Requests a second that all users make together.")
    ] = 500.0,
    duration: Annotated[float, typer.Option(min=1, help="Seconds that are measured.")] = 60.0,
    ramp: Annotated[float, typer.Option(min=0, help="Seconds over which users join.")] = 10.0,
    warmup: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds after the ramp [default: two requests of each user]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance: phases, tasks, resampling.")] = 1,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Load generators; one makes about 4,000 requests/s.")
    ] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")
    ] = None,
) -> None:
    """Drive the running stack with many users and judge it against its targets."""
    import asyncio

    from pulse_cli.bench.judge import failure
    from pulse_cli.bench.options import Options
    from pulse_cli.bench.report import check_writable, write
    from pulse_cli.bench.run import run
    from pulse_cli.bench.summary import summarise
    from pulse_cli.bench.table import render
    from pulse_cli.bench.watch import Watch
    from pulse_cli.output import data, people

    root = Root.of(ctx)
    if json_file is not None:
        check_writable(json_file)
    options = Options(
        scenario=scenario,
        users=users,
        rate=rate,
        duration=duration,
        ramp=ramp,
        warmup=max(5.0, 2 * users / rate) if warmup is None else warmup,
        seed=seed,
        processes=processes,
    )
    options.check()
    stack = root.recorded()
    if stack.target == "kubernetes":
        _in_cluster(root, options, json_file)
        return
    seen = asyncio.run(run(stack, root.state, options, Watch(people())))
    report = summarise(stack, options, seen)
    if json_file is not None:
        write(report, json_file)
    data(render(report))
    if (error := failure(report.verdict, report.checks, report.reasons)) is not None:
        raise error


def _in_cluster(root: Root, options: Options, json_file: Path | None) -> None:
    """Let pods make the load, and judge what their users saw."""
    import json
    from dataclasses import asdict

    from pulse_cli.output import table
    from pulse_cli.targets.kubernetes.load import bench
    from pulse_cli.targets.progress import shown

    with shown(root.target) as show:
        result = bench(root.target.running(), root.state, options, show)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    rows = [*result.endpoints, result.total]
    table(
        ("ENDPOINT", "REQUESTS", "FAILED", "P50 MS", "P95 MS", "P99 MS"),
        [
            (one.name, *(f"{value:g}" for name, value in vars(one).items() if name != "name"))
            for one in rows
        ],
    )
    if (error := result.error) is not None:
        raise error
