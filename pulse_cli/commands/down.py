"""`pulse down`."""

from __future__ import annotations

import typer

from pulse_cli.context import Root


def down(ctx: typer.Context) -> None:
    """Stop every process of the stack; its data stay."""
    from pulse_cli.output import say
    from pulse_cli.targets.target import every_target

    stopped = sum(target.down() for target in every_target(Root.of(ctx).state))
    processes = "1 process" if stopped == 1 else f"{stopped} processes"
    say(f"stopped {processes}" if stopped else "nothing was running")
