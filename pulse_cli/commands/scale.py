"""`pulse scale`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import Root, service_named


def scale(
    ctx: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE=N", help="Such as posts=3.")],
) -> None:
    """Run N instances of a service, until the stack is stopped; the others are not touched."""
    from pulse_cli.errors import ConfigError
    from pulse_cli.output import say
    from pulse_cli.targets.progress import shown

    name, _, number = service.partition("=")
    known = service_named(name)
    if not number.isdecimal():
        raise ConfigError(f"scale takes SERVICE=N with a whole number, such as {known}=2")
    target = Root.of(ctx).target
    with shown(target) as show:
        stack = target.scale(known, int(number), show)
    if stack.target == "kubernetes":
        say(f"{known} runs in {stack.services[known].replicas} pods")
        return
    ports = [stack.instance_port(known, i) for i in range(stack.services[known].replicas)]
    say(f"{known} runs on {', '.join(map(str, ports))}")
