"""`pulse logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import Root

NAME_WIDTH = 15
"""Columns of `notifications-0`, the longest name with one figure."""


def logs(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMPONENT]...", help="Services or components; all by default."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing what is written.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many last lines of each to print.")
    ] = 20,
) -> None:
    """Print the components' logs, also after the stack was stopped."""
    root = Root.of(ctx)
    alone = len(names or ()) == 1
    for name, line in root.target.lines(root.stack, names or (), lines, follow):
        print(line if alone else f"{name:<{NAME_WIDTH}} | {line}", flush=follow)
