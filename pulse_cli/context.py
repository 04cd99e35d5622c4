"""What every command is given: the project folder and what is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pulse_cli.stack.model import ServiceName, Stack
    from pulse_cli.targets.target import Target

JSON = typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
"""The `--json` option, the same in every command: `as_json: Annotated[bool, JSON] = False`."""


def group(name: str, about: str) -> typer.Typer:
    """Return a command that has commands below it; alone it shows its help."""
    return typer.Typer(name=name, help=about, rich_markup_mode=None, no_args_is_help=True)


@dataclass
class Root:
    """The root object of a command (`ctx.obj`), filled from the global options."""

    project_dir: Path = field(default_factory=Path.cwd)
    debug: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    """What `--set` says, by dotted key; it goes over `pulse.toml` and the environment."""
    _reached: Stack | None = field(default=None, init=False)

    @staticmethod
    def of(ctx: typer.Context) -> Root:
        """Return the root object of a command's context."""
        return ctx.ensure_object(Root)

    @property
    def state(self) -> Path:
        """The state folder of this project's stack; it need not exist."""
        return self.project_dir / ".pulse"

    @cached_property
    def stack(self) -> Stack:
        """The configured stack. Raises `ConfigError`."""
        from pulse_cli.stack.load import load_stack

        return load_stack(self.project_dir, self.settings)

    def running(self) -> Stack:
        """Return the stack that this folder runs now, at addresses that this process reaches.

        Raises:
            NotHealthy: none runs, or it cannot be reached.
        """
        return self.reached(self.recorded())

    def recorded(self) -> Stack:
        """Return the stack that this folder runs now. Raises `NotHealthy` when none does."""
        from pulse_cli.errors import NotHealthy
        from pulse_cli.stack.load import running_stack

        stack = running_stack(self.state)
        if stack is None:
            raise NotHealthy(f"no stack is running in {self.project_dir}; start it with: pulse up")
        return stack

    def reached(self, stack: Stack) -> Stack:
        """Return a running stack at addresses that this process reaches.

        Raises:
            NotHealthy: its pods are not ready, or cannot be reached.
        """
        if stack.target != "kubernetes":
            return stack
        if self._reached is None:
            from pulse_cli.targets.kubernetes.target import Kubernetes

            self._reached = Kubernetes(self.state).reached()
        return self._reached

    @cached_property
    def target(self) -> Target:
        """Where this folder's stack runs, or would run: what is configured."""
        from pulse_cli.stack.load import running_stack
        from pulse_cli.targets.target import target_of

        stack = running_stack(self.state) or self.stack
        return target_of(stack.target, self.state)


def service_named(text: str) -> ServiceName:
    """Return the service that an argument names. Raises `ConfigError` when there is none."""
    from pulse_cli.errors import ConfigError
    from pulse_cli.stack.model import SERVICE_NAMES

    for name in SERVICE_NAMES:
        if name == text:
            return name
    raise ConfigError(f"there is no service {text!r}; there are {', '.join(SERVICE_NAMES)}")
