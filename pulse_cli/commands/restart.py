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
    from pulse_cli.targets.progress import shown

    target = Root.of(ctx).target
    with shown(target) as show:
        target.restart(names or (), show)
