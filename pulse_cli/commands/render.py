"""`pulse render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulse_cli.context import JSON, Root

ALL = "all"


def render(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="[WHAT|all]", help="What to render.")] = ALL,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Where to; below the project folder."),
    ] = Path("rendered"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit 3 when files differ from the stack."),
    ] = False,
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--secrets",
            help="Put this folder's secrets in their places, for a gateway beside a local stack.",
        ),
    ] = False,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write the configured stack as files for other tools, each kind into a folder of its name."""
    from pulse_cli.errors import CheckFailed, ConfigError
    from pulse_cli.output import emit_json, say, table
    from pulse_cli.render import folder
    from pulse_cli.render.beside import GATEWAYS, beside
    from pulse_cli.render.renderables import RENDERABLES, Files

    if what not in (*RENDERABLES, ALL):
        raise ConfigError(
            f"there is no {what!r} to render; there are {', '.join(RENDERABLES)}, all"
        )
    if with_secrets and what not in GATEWAYS:
        raise ConfigError(
            f"--secrets is for {' and '.join(GATEWAYS)}; "
            "everything else is given its secrets where it runs"
        )
    root = Root.of(ctx)
    into = root.project_dir / output
    rendered: dict[str, Files]
    if with_secrets:
        rendered = {what: beside(what, root.stack, root.state)}
    else:
        chosen = RENDERABLES if what == ALL else {what: RENDERABLES[what]}
        rendered = {name: files(root.stack) for name, files in chosen.items()}
    if check:
        found = folder.differences(into, rendered)
    else:
        found = folder.write(into, rendered, private=with_secrets)
    count = sum(len(files) for files in rendered.values())
    if as_json:
        changes = [{"path": one.path, "change": one.change} for one in found]
        emit_json({"folder": str(into), "files": count, "changes": changes})
    elif told := [one for one in found if check or one.change != folder.Change.MISSING]:
        table(("FILE", "IS" if check else "WAS"), [(one.path, one.change) for one in told])
    if check and found:
        again = f"pulse render {what} -o {output}{' --secrets' if with_secrets else ''}"
        raise CheckFailed(
            f"{len(found)} files below {into} differ from the stack; write them: {again}"
        )
    if not as_json:
        say(f"{count} files below {into}: {len(found) or 'none'} changed")
