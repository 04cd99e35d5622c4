"""`pulse doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.context import JSON, Root


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="Install what is missing: by apt and by pip.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Check what this machine needs for the stack, and mend it with --fix."""
    from rich.markup import escape

    from pulse_cli import doctor as clinic
    from pulse_cli.errors import MissingComponent, Unusable
    from pulse_cli.output import emit_json, say, table
    from pulse_cli.stack.load import running_stack

    root = Root.of(ctx)
    stack = running_stack(root.state) or root.stack
    checks = clinic.examine(stack, root.state)
    if fix and any(check.verdict == "missing" for check in checks):
        failed = {c.name: c for c in clinic.mend(checks, root.state, say)}
        checks = [
            failed.get(check.name, check) if check.verdict not in clinic.WELL else check
            for check in clinic.examine(stack, root.state)
        ]
    if as_json:
        emit_json(
            {
                "healthy": all(check.verdict in clinic.WELL for check in checks),
                "checks": [vars(check) for check in checks],
            }
        )
    else:
        style = {"ok": "green", "unneeded": "dim", "missing": "red", "unusable": "red"}
        table(
            ("CHECK", "VERDICT", "FOUND", "MEND"),
            [
                (c.name, f"[{style[c.verdict]}]{c.verdict}[/]", escape(c.detail), escape(c.mend))
                for c in checks
            ],
        )
    bad = [check for check in checks if check.verdict not in clinic.WELL]
    if any(check.verdict == "missing" for check in bad):
        names = ", ".join(check.name for check in bad if check.verdict == "missing")
        advice = "the table says why" if fix else "run: pulse doctor --fix"
        raise MissingComponent(f"missing on this machine: {names}; {advice}")
    if bad:
        raise Unusable(f"not usable on this machine: {', '.join(check.name for check in bad)}")
