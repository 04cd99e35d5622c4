"""`pulse bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulse_cli.context import Root


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
    html_file: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report as a page to look at."),
    ] = None,
) -> None:
    """Drive the running stack with many users and judge it against its targets."""
    import asyncio

    from pulse_cli.bench.judge import failure
    from pulse_cli.bench.options import Options
    from pulse_cli.bench.picture import write_page
    from pulse_cli.bench.place import place_of
    from pulse_cli.bench.report import check_writable, write
    from pulse_cli.bench.run import run
    from pulse_cli.bench.summary import summarise
    from pulse_cli.bench.table import render
    from pulse_cli.bench.watch import Watch
    from pulse_cli.output import data, people

    root = Root.of(ctx)
    for file in filter(None, (json_file, html_file)):
        check_writable(file)
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
    place = place_of(stack, root.state)
    seen = asyncio.run(run(place, root.state, options, Watch(people())))
    report = summarise(stack, options, seen)
    if json_file is not None:
        write(report, json_file)
    if html_file is not None:
        write_page(report, html_file)
    data(render(report))
    if (error := failure(report.verdict, report.checks, report.reasons)) is not None:
        raise error
