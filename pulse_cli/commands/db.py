"""`pulse db`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import JSON, Root, group

db = group("db", "Look at what the services ask of PostgreSQL.")


@db.callback()
def _group() -> None:
    """Keep `explain` a command of its own while it is the only one."""


@db.command()
def explain(ctx: typer.Context, as_json: Annotated[bool, JSON] = False) -> None:
    """Check that PostgreSQL answers every hot query of the services from its index."""
    import json
    import os
    import subprocess

    from pulse_cli.components import find_binaries
    from pulse_cli.errors import CheckFailed, NotHealthy
    from pulse_cli.output import emit_json, table
    from pulse_cli.targets.local.programs import explain_program

    root = Root.of(ctx)
    program = explain_program(root.running(), root.state, find_binaries(root.state))
    done = subprocess.run(
        program.command,
        env={**os.environ, **program.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise NotHealthy(f"the hot queries cannot be explained: {reason}")
    found = json.loads(done.stdout)
    if as_json:
        emit_json(found)
    else:
        table(
            ("SERVICE", "QUERY", "INDEX", "USED", "COST", ""),
            [
                (
                    one["service"],
                    one["query"],
                    one["index"],
                    f"[green]{', '.join(one['used'])}[/]"
                    if one["ok"]
                    else f"[red]{', '.join(one['used']) or 'none'}[/]",
                    f"{one['cost']:,.0f}",
                    "planned as if large" if one["small"] else "",
                )
                for one in found["queries"]
            ],
        )
    if bad := [one for one in found["queries"] if not one["ok"]]:
        names = ", ".join(f"{one['service']}.{one['query']}" for one in bad)
        raise CheckFailed(f"not answered from the expected index: {names}")
