"""`pulse up`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root

if TYPE_CHECKING:
    from pulse_cli.targets.target import Target


def up(
    ctx: typer.Context,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Use free ports, to run beside other stacks.")
    ] = False,
    replica: Annotated[
        bool,
        typer.Option("--replica", help="Run a read replica too, as --set postgres.replica=true."),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="TARGET", help="Where it runs: local, compose or kubernetes."
        ),
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Start the stack and wait until all of it is ready; again: start what does not run."""
    from pulse_cli.output import emit_json, say
    from pulse_cli.targets.progress import shown

    root = Root.of(ctx)
    if replica:
        root.settings = {**root.settings, "postgres.replica": True}

    chosen = _target(root, target)
    with shown(chosen) as show:
        stack = chosen.up(root.stack, isolated, show, say)
    url = stack.gateway_url
    if as_json:
        emit_json(
            {
                "gateway_url": url,
                "target": stack.target,
                "state": str(root.state),
                "components": [
                    {key: vars(one)[key] for key in ("name", "kind", "port", "pid", "state", "log")}
                    for one in chosen.status()
                ],
            }
        )
    else:
        print(url)


def _target(root: Root, asked: str | None) -> Target:
    """Return where the stack runs, or shall run; never another one than is asked for.

    Raises:
        ConfigError: there is no such target.
        Unusable: this folder's stack runs elsewhere.
    """
    from pulse_cli.errors import ConfigError, NotHealthy, Unusable
    from pulse_cli.stack.load import running_stack
    from pulse_cli.stack.model import TARGET_NAMES
    from pulse_cli.targets.target import target_of

    if asked is not None and asked not in TARGET_NAMES:
        raise ConfigError(f"there is no target {asked!r}; there are {', '.join(TARGET_NAMES)}")
    runs = None
    if recorded := running_stack(root.state):
        with suppress(NotHealthy):
            runs = target_of(recorded.target, root.state).running().target
    if wanted := asked or runs:
        root.settings = {**root.settings, "target": wanted}
    if runs is not None and runs != root.stack.target:
        raise Unusable(
            f"the stack of {root.project_dir} runs on target {runs}, not {wanted}; "
            "stop it first: pulse down"
        )
    return target_of(root.stack.target, root.state)
