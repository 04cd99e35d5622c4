"""`pulse down`."""

from __future__ import annotations

import typer

from pulse_cli.context import Root


def down(ctx: typer.Context) -> None:
    """Stop everything of the stack: processes, containers or pods; its data stay."""
    from pulse_cli.output import say
    from pulse_cli.targets.target import every_target

    stopped = [(target.down(), target.part) for target in every_target(Root.of(ctx).state)]
    said = " and ".join(_counted(count, part) for count, part in stopped if count)
    say(f"stopped {said}" if said else "nothing was running")


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
