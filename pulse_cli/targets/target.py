"""What every target can do with the stack of one state folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pulse_cli.stack.model import TARGET_NAMES, ServiceName, Stack, TargetName
from pulse_cli.targets.progress import Logs, Show

Say = Callable[[str], None]

Line = tuple[str, str]
"""A component's name, and a line of its log without its end."""


@dataclass(frozen=True)
class Status:
    """One component as it is now."""

    name: str
    kind: str
    port: int | None
    pid: int | None
    state: str
    """`running`, `starting` and `done` are well; everything else is not."""
    log: str
    """Where its log is: a file, or the command that prints it."""
    uptime_seconds: int | None
    restarts: int


class Target(Logs, Protocol):
    """The stack of one state folder, wherever it runs."""

    part: ClassVar[str]
    """What `down` stops many of."""

    def running(self) -> Stack:
        """Return the effective stack. Raises `NotHealthy` when none runs."""

    def up(self, configured: Stack, isolated: bool, show: Show, say: Say) -> Stack:
        """Start what does not run, wait until all of it is ready, return the effective stack.

        A start that fails or is interrupted stops what it started.

        Raises:
            MissingComponent: a program that the target needs is not on this machine.
            Unusable: a port is taken, or the state folder or the engine cannot be used.
            NotHealthy: a component did not become ready.
        """

    def down(self) -> int:
        """Stop the whole stack, also without its state folder; return how many there were."""

    def status(self) -> list[Status]:
        """Return every component as it is now. Raises `NotHealthy` when nothing runs."""

    def restart(self, names: Sequence[str], show: Show) -> None:
        """Stop the components and start them again; none named means all.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing runs, or a component did not come back.
        """

    def scale(self, service: ServiceName, replicas: int, show: Show) -> Stack:
        """Run `replicas` instances of a service; the others are not restarted.

        Raises:
            ConfigError: the number is not allowed, or PostgreSQL has too few connections.
            NotHealthy: nothing runs, or a new instance did not become ready.
        """

    def kill(self, name: str) -> float:
        """End a service's instance at once, as a crash would; the target starts it again.

        Returns:
            When it was struck (`time.monotonic`), known within a second.

        Raises:
            ConfigError: there is no such instance.
            NotHealthy: nothing runs, or the instance does not.
        """

    def ready(self, name: str) -> bool:
        """Whether a service's instance answers that it is ready."""

    def lines(
        self, configured: Stack, names: Sequence[str], count: int, follow: bool
    ) -> Iterator[Line]:
        """Yield the last lines of the components' logs, also of a stack that was stopped.

        Args:
            configured: the stack whose logs are meant when none runs.
            names: components, or services with all their instances; none named means all.
            count: how many last lines of each.
            follow: whether to go on with every new line as it is written, for ever.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing was logged.
        """


def target_of(name: TargetName, state: Path) -> Target:
    """Return the target of that name for a state folder."""
    from pulse_cli.targets.compose.target import Compose
    from pulse_cli.targets.kubernetes.target import Kubernetes
    from pulse_cli.targets.local.target import Local

    targets: dict[TargetName, Callable[[Path], Target]] = {
        "local": Local,
        "compose": Compose,
        "kubernetes": Kubernetes,
    }
    return targets[name](state)


def every_target(state: Path) -> list[Target]:
    """Return all targets, for commands that must also work without a readable state folder."""
    return [target_of(name, state) for name in TARGET_NAMES]
