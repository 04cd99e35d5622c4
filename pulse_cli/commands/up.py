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
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Start the stack and wait until all of it is ready; again: start what does not run."""
    from pulse_cli.output import emit_json, people
    from pulse_cli.targets.bringup import StartFailed
    from pulse_cli.targets.local import Local
    from pulse_cli.targets.progress import explain, shown

    root = Root.of(ctx)
    local = Local(root.state)
    say = people().print
    try:
        with shown() as show:
            stack = local.up(root.stack, isolated, show, say)
    except StartFailed as failure:
        explain(failure, local.log(failure.name))
        raise
    url = stack.gateway_url
    if as_json:
        emit_json(
            {
                "gateway_url": url,
                "target": stack.target,
                "state": str(root.state),
                "components": [
                    {key: vars(one)[key] for key in ("name", "kind", "port", "pid", "state", "log")}
                    for one in local.status()
                ],
            }
        )
    else:
        print(url)
