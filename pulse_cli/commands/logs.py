"""`pulse logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import Root


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
    from pulse_cli.errors import NotHealthy
    from pulse_cli.stack.load import running_stack
    from pulse_cli.targets import logs as files
    from pulse_cli.targets.local import Local, choose
    from pulse_cli.targets.plan import plan

    root = Root.of(ctx)
    local = Local(root.state)
    components = plan(running_stack(root.state) or root.stack)
    chosen = choose(components, names) if names else [one.name for one in components]
    paths = [local.log(name) for name in chosen]
    if not any(path.exists() for path in paths):
        raise NotHealthy(f"nothing was logged in {root.state}; start a stack with: pulse up")
    width = max(map(len, chosen)) if len(chosen) > 1 else 0
    read = files.follow if follow else files.tail
    for name, line in read(paths, lines):
        print(f"{name:<{width}} | {line}" if width else line, flush=follow)
