"""`pulse restart`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import Root


def restart(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMPONENT]...", help="Services or components; all by default."),
    ] = None,
) -> None:
    """Stop components and start them again, in the order of their needs."""
    from pulse_cli.targets.bringup import StartFailed
    from pulse_cli.targets.local import Local
    from pulse_cli.targets.progress import explain, shown

    local = Local(Root.of(ctx).state)
    try:
        with shown() as show:
            local.restart(names or (), show)
    except StartFailed as failure:
        explain(failure, local.log(failure.name))
        raise
