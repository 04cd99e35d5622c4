"""`pulse health`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root

if TYPE_CHECKING:
    from pulse_cli.health import Check
    from pulse_cli.stack.model import Stack


def health(
    ctx: typer.Context,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Ask again until all is well.")
    ] = 0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Ask every instance, store and route whether it is well; exit 0 only when all are."""
    import asyncio

    from pulse_cli.errors import NotHealthy
    from pulse_cli.output import emit_json

    root = Root.of(ctx)
    stack, checks = asyncio.run(_ask(root, wait))
    ill = [check.name for check in checks if not check.healthy]
    if as_json:
        emit_json(
            {
                "healthy": stack is not None and not ill,
                "gateway_url": stack.gateway_url if stack else None,
                "state": str(root.state),
                "checks": [vars(check) for check in checks],
            }
        )
    elif stack is not None:
        _print(checks)
    if stack is None:
        root.running()
    if ill:
        raise NotHealthy(f"not healthy: {', '.join(ill)}; see: pulse status and pulse logs")


async def _ask(root: Root, wait: float) -> tuple[Stack | None, list[Check]]:
    """Ask until all is well or `wait` seconds have passed; without a stack there is no answer."""
    import asyncio
    import time

    from pulse_cli.health import POLL_SECONDS, check
    from pulse_cli.stack.load import running_stack
    from pulse_cli.stack.secrets import ensure_secrets

    deadline = time.monotonic() + wait
    while True:
        stack = running_stack(root.state)
        stack = root.reached(stack) if stack is not None else None
        checks = await check(stack, ensure_secrets(root.state)) if stack else []
        well = bool(checks) and all(one.healthy for one in checks)
        if well or time.monotonic() >= deadline:
            return stack, checks
        await asyncio.sleep(POLL_SECONDS)


def _print(checks: list[Check]) -> None:
    from rich.text import Text

    from pulse_cli.output import table

    def verdict(check: Check) -> Text:
        return Text("ok", style="green") if check.healthy else Text("ill", style="red")

    table(
        ("KIND", "NAME", "STATE", "MS", "ANSWER"),
        [(c.kind, c.name, verdict(c), f"{c.ms:.1f}", Text(c.said)) for c in checks],
    )
