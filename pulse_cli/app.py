"""The `pulse` command: its root, its table of commands, and how failures end.

To add a command, write `pulse_cli/commands/<noun>.py` and add its line to `COMMANDS`:

    def noun(ctx: typer.Context, name: str, as_json: Annotated[bool, JSON] = False) -> None:
        \"\"\"Say in one imperative line what it does.\"\"\"
        from pulse_cli.something_heavy import work   # heavy imports stay in here

        root = Root.of(ctx)
        work(root.stack, root.state)                 # the configured stack, the folder `.pulse`

A command module imports at its top only the standard library, typer, `pulse_cli.context`,
`pulse_cli.errors` and `pulse_cli.output`: `pulse --help` loads all of them (a test holds this).
A command returns for success and raises a `PulseError` for everything else; `run` turns it into
one sentence on stderr and its exit code.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pulse_cli.commands.api import api
from pulse_cli.commands.bench import bench
from pulse_cli.commands.db import db
from pulse_cli.commands.doctor import doctor
from pulse_cli.commands.down import down
from pulse_cli.commands.events import events
from pulse_cli.commands.health import health
from pulse_cli.commands.logs import logs
from pulse_cli.commands.render import render
from pulse_cli.commands.restart import restart
from pulse_cli.commands.scale import scale
from pulse_cli.commands.seed import seed
from pulse_cli.commands.status import status
from pulse_cli.commands.up import up
from pulse_cli.commands.verify import verify
from pulse_cli.context import Root
from pulse_cli.errors import ConfigError, ExitCode, PulseError
from pulse_cli.output import fail, say

COMMANDS: tuple[Callable[..., None], ...] = (
    doctor,
    up,
    down,
    status,
    logs,
    restart,
    scale,
    health,
    seed,
    bench,
    render,
)
"""Every command, in the order of `pulse --help`; its name is the function's."""

FULL = {errno.ENOSPC, errno.EDQUOT}
MENDS = dict.fromkeys(FULL, "; free some space") | dict.fromkeys(
    (errno.EACCES, errno.EPERM), "; run pulse as the user whose it is"
)
READER_GONE = 141
"""What a shell says of a program that SIGPIPE ended: nobody reads its output any more."""

_WrongUsage = typer.BadParameter.mro()[2]
"""The base of all that is wrong with a command line, to which typer gives no name."""

app = typer.Typer(
    name="pulse",
    help="Provision the platform, check its health, seed it and measure it.",
    epilog="\b\nExit codes:\n" + "\n".join(f"  {c.value:>3}  {c.meaning}" for c in ExitCode),
    rich_markup_mode=None,  # plain help: rich alone would cost half of the time `--help` may take
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("pulse-platform"))
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    project_dir: Annotated[
        Path,
        typer.Option(
            "--project-dir",
            "-C",
            help="The folder of pulse.toml and of the stack's state.",
            exists=True,
            file_okay=False,
            resolve_path=True,
        ),
    ] = Path(),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a value of the stack, such as services.posts.replicas=2; may be repeated.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    root = ctx.ensure_object(Root)
    root.project_dir = project_dir
    root.settings = dict(_pair(setting) for setting in settings or ())
    root.debug = debug


def _pair(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    if not key or not equals:
        raise ConfigError(f"--set: {setting!r} is not KEY=VALUE, such as gateway.port=9000")
    return key, value


for _command in COMMANDS:
    app.command()(_command)
app.add_typer(verify)
app.add_typer(events)
app.add_typer(db)
app.add_typer(api)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run `pulse` with `arguments` (default: the process's) and return its exit code."""
    root = Root()
    try:
        code = app(arguments, obj=root, prog_name="pulse", standalone_mode=False)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return READER_GONE
        raise
    except Exception as error:
        return _explain(error, root.debug)
    if code == ExitCode.INTERRUPTED:
        fail("interrupted")
    return code or ExitCode.OK


def _explain(error: Exception, debug: bool) -> int:
    if isinstance(error, PulseError):
        fail(str(error))
        return error.exit_code
    if isinstance(error, _WrongUsage):
        _explain_usage(error)
        return ExitCode.USAGE
    if isinstance(error, typer.Abort):  # Ctrl-D where an answer is asked for
        fail("interrupted")
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError) and (error.filename or error.errno in FULL):
        what = f"use {error.filename}" if error.filename else "write"
        fail(f"cannot {what}: {error.strerror}{MENDS.get(error.errno or 0, '')}")
        return ExitCode.UNUSABLE
    if debug:
        raise error
    first_line = (str(error).strip().splitlines() or ["no message"])[0]
    fail(f"unexpected {type(error).__name__}: {first_line} (pulse --debug shows the traceback)")
    return ExitCode.UNEXPECTED


def _explain_usage(error: Any) -> None:
    said = error.format_message()
    if "\n" in said:  # the help, for a command that says nothing
        say(said)
        return
    command = error.ctx.command_path if error.ctx else "pulse"
    said = f"{said[0].lower()}{said[1:].rstrip('.')}"
    fail(said if said.endswith("?") else f"{said}; see: {command} --help")


def main() -> None:
    """Run the console script."""
    try:
        code = run()
    except BrokenPipeError:
        code = READER_GONE
    sys.exit(code)
