"""`pulse up`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import JSON, Root


def up(
    ctx: typer.Context,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Use free ports, to run beside other stacks.")
    ] = False,
    replica: Annotated[
        bool,
        typer.Option("--replica", help="Run a read replica too, as --set postgres.replica=true."),
    ] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Start the stack and wait until all of it is ready; again: start what does not run."""
    from pulse_cli.output import emit_json, people
    from pulse_cli.targets.progress import shown

    root = Root.of(ctx)
    if replica:
        root.settings = {**root.settings, "postgres.replica": True}
    say = people().print
    with shown(root.target) as show:
        stack = root.target.up(root.stack, isolated, show, say)
    url = stack.gateway_url
    if as_json:
        emit_json(
            {
                "gateway_url": url,
                "target": stack.target,
                "state": str(root.state),
                "components": [
                    {key: vars(one)[key] for key in ("name", "kind", "port", "pid", "state", "log")}
                    for one in root.target.status()
                ],
            }
        )
    else:
        print(url)
