"""`pulse status`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import JSON, Root

WELL = {"running", "starting", "done"}


def status(ctx: typer.Context, as_json: Annotated[bool, JSON] = False) -> None:
    """Show every component: its state, process, port, uptime and restarts."""
    from datetime import timedelta

    from pulse_cli.errors import NotHealthy
    from pulse_cli.output import emit_json, table

    root = Root.of(ctx)
    try:
        stack = root.target.running()
        found = root.target.status()
    except NotHealthy:
        if as_json:
            emit_json({"running": False, "state": str(root.state), "components": []})
        raise
    bad = [one.name for one in found if one.state not in WELL]
    if as_json:
        emit_json(
            {
                "running": True,
                "gateway_url": stack.gateway_url,
                "target": stack.target,
                "state": str(root.state),
                "components": [vars(one) for one in found],
            }
        )
    else:
        table(
            ("COMPONENT", "STATE", "PID", "PORT", "UPTIME", "RESTARTS"),
            [
                (
                    one.name,
                    f"[{'green' if one.state in WELL else 'red'}]{one.state}[/]",
                    str(one.pid or ""),
                    str(one.port or ""),
                    ""
                    if one.uptime_seconds is None
                    else str(timedelta(seconds=one.uptime_seconds)),
                    str(one.restarts),
                )
                for one in found
            ],
        )
    if bad:
        raise NotHealthy(
            f"not running: {', '.join(bad)}; see: pulse logs COMPONENT, or start with: pulse up"
        )
