"""The compose target: a stack as containers of this machine's Docker Engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationError

from pulse_cli.errors import ConfigError, MissingComponent, NotHealthy, Unusable
from pulse_cli.files import private_folder, write_private
from pulse_cli.programs import connection_limit
from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.stack.secrets import ensure_secrets
from pulse_cli.targets.bringup import bring_up
from pulse_cli.targets.changing import locked, undone_on_failure
from pulse_cli.targets.choosing import choose, instance, is_ready
from pulse_cli.targets.compose import gateway, image, logs, network
from pulse_cli.targets.compose.engine import Engine, connect, known, seems_installed
from pulse_cli.targets.compose.plan import STORES, plan
from pulse_cli.targets.compose.project import Project, project_name, user_of
from pulse_cli.targets.compose.stopping import remove_all, remove_containers, stop_containers
from pulse_cli.targets.local import ports
from pulse_cli.targets.local.plan import Component
from pulse_cli.targets.local.scaling import scaled
from pulse_cli.targets.progress import Show
from pulse_cli.targets.target import Line, Say, Status

if TYPE_CHECKING:
    from docker.models.containers import Container

READY_SECONDS = 180.0
"""How long one container may take; a broker that shares one CPU with much else took 58."""


class Compose:
    """The stack of one state folder."""

    part: ClassVar[str] = "container"

    def __init__(self, state: Path) -> None:
        self.state = state
        self.name = project_name(state)
        self._record = state / "run" / "stack.json"
        self._configured = state / "run" / "configured.json"
        self._connected: Engine | None = None

    def running(self) -> Stack:
        """Return the effective stack. Raises `NotHealthy` when none runs."""
        stack = self._running()
        if stack is None:
            raise NotHealthy(f"no stack is running in {self.state.parent}; start it with: pulse up")
        return stack

    def up(self, configured: Stack, isolated: bool, show: Show, say: Say) -> Stack:
        """Start what does not run, wait until all of it is ready, return the effective stack.

        Images that are missing are built or pulled before. A running stack keeps its ports and
        replicas, and `say` tells when the configuration has changed since. A start that fails or
        is interrupted removes what it started; the data stay.

        Raises:
            MissingComponent: docker, or an image, is not on this machine and cannot be had.
            Unusable: the engine, a port, the network or the state folder cannot be used.
            NotHealthy: a container did not become ready.
        """
        engine, project = self._engine(), self._project()
        project.check()
        self._prepare_folders()
        with locked(self.state / "run"):
            stack = self._running()
            if stack is not None:
                if self._configured_then() != configured:
                    say("the configuration has changed since this stack was started; apply it with")
                    say("  pulse down && pulse up")
                self._begin(stack, show, say)
                return stack
            _refuse_unsupported(configured)
            if cleared := self._remove_all():
                say(f"cleared {cleared} containers that an earlier run left behind")
            stack = network.isolated(configured, engine) if isolated else configured
            ports.refuse_taken(stack, network.published(stack))
            network.refuse_taken(stack, engine)
            with undone_on_failure(self._remove_all):
                write_private(self._record, stack.model_dump_json(indent=2))
                write_private(self._configured, configured.model_dump_json(indent=2))
                self._begin(stack, show, say)
        return stack

    def down(self) -> int:
        """Stop and remove the stack's containers and their network; the data stay.

        It needs no state folder: they are found by their label. Without an engine nothing can
        run, which is said only when there should be something.
        """
        recorded = (self.state / "run").is_dir() and self._is_recorded()
        if not recorded and not seems_installed():
            return 0
        try:
            self._engine()
        except (MissingComponent, Unusable):
            if recorded:
                raise
            return 0
        if not (self.state / "run").is_dir():
            return self._remove_all()
        with locked(self.state / "run"):
            return self._remove_all()

    def status(self) -> list[Status]:
        """Return every container as it is now. Raises `NotHealthy` when nothing runs."""
        components = plan(self.running())
        containers = self._engine().containers()
        return [self._status(one, containers.get(one.name)) for one in components]

    def restart(self, names: Sequence[str], show: Show) -> None:
        """Stop the components and start them again; none named means all.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing runs, or a component did not come back.
        """
        with self._locked():
            stack = self.running()
            components = plan(stack)
            chosen = choose(components, names)
            engine = self._engine()
            for group in ([n for n in chosen if n not in STORES], chosen):
                stop_containers(engine, group)
            self._write(stack)
            self._start([c for c in components if c.name in chosen], show)

    def scale(self, service: ServiceName, replicas: int, show: Show) -> Stack:
        """Run `replicas` instances of a service; the others are not restarted.

        New instances are given out when they are ready, removed ones before they are stopped.

        Raises:
            ConfigError: the number is not allowed, or PostgreSQL has too few connections.
            Unusable: a new instance's port is taken.
            NotHealthy: nothing runs, or a new instance did not become ready.
        """
        with self._locked():
            old = self.running()
            new = scaled(old, service, replicas, connection_limit(self._configured_then() or old))
            added = sorted(set(new.ports()) - set(old.ports()))
            removed = sorted(set(old.ports()) - set(new.ports()))
            ports.refuse_taken(new, added)
            engine, project = self._engine(), self._project()

            def back() -> None:
                self._write(old)
                try:
                    gateway.follow(engine, old, self.state)
                finally:
                    remove_containers(engine, added)

            with undone_on_failure(back):
                self._write(new, serving=old if added else new)
                if added:
                    project.create(only=added)
                    self._start([c for c in plan(new) if c.name in added], show)
                    self._write(new)
                gateway.follow(engine, new, self.state)
                gateway.wait_given_out(new, added)
                gateway.wait_drained(engine, old, removed)
                remove_containers(engine, removed)
                # It tells at last whether the gateway reaches what it was told of.
                self._start([c for c in plan(new) if c.kind == "gateway"], show)
                write_private(self._record, new.model_dump_json(indent=2))
        return new

    def kill(self, name: str) -> float:
        """End a service's instance at once, as a crash would; the engine starts it again.

        Its process is killed from outside: what is stopped through the engine stays stopped.

        Returns:
            When it was struck (`time.monotonic`).

        Raises:
            ConfigError: there is no such instance.
            NotHealthy: nothing runs, or the instance does not.
            Unusable: this user may not.
        """
        info = self._engine().infos().get(instance(plan(self.running()), name).name)
        if info is None or info.pid is None:
            raise NotHealthy(f"{name} does not run; see: pulse status")
        try:
            os.kill(info.pid, signal.SIGKILL)
        except ProcessLookupError:
            raise NotHealthy(f"the process of {name} is not on this machine") from None
        except PermissionError:
            raise Unusable(f"this user may not end the process {info.pid} of {name}") from None
        return time.monotonic()

    def ready(self, name: str) -> bool:
        """Whether a service's instance answers that it is ready."""
        return is_ready(instance(plan(self.running()), name))

    def log(self, name: str) -> str:
        """Return the command that prints a component's log."""
        return f"docker logs {self.name}-{name}-1"

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the last lines that a component wrote; none when there is no log."""
        return logs.last_lines(self._engine(), self.state, name, count)

    def lines(
        self, configured: Stack, names: Sequence[str], count: int, follow: bool
    ) -> Iterator[Line]:
        """Yield the last lines of the components' logs, also of a stack that was stopped.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing was logged.
        """
        components = plan(running_stack(self.state) or configured)
        chosen = choose(components, names)
        engine = self._engine()
        here = [name for name in chosen if name in engine.containers()]
        if not here and not any(logs.saved(self.state, name).exists() for name in chosen):
            raise NotHealthy(f"nothing was logged in {self.state}; start a stack with: pulse up")
        if follow and here:
            yield from logs.follow(engine, here, count)
        else:
            yield from logs.tail(engine, self.state, chosen, count)

    def _status(self, component: Component, container: Container | None) -> Status:
        info = known(component.name, container) if container is not None else None
        state = info.state.lower() if info else "missing"
        done = info is not None and component.kind == "job" and info.ended_well
        return Status(
            name=component.name,
            kind=component.kind,
            port=component.port,
            pid=info.pid if info else None,
            state="done" if done else state,
            log=self.log(component.name),
            uptime_seconds=info.now - info.started if info and info.pid else None,
            restarts=container.attrs["RestartCount"] if container is not None else 0,
        )

    def _engine(self) -> Engine:
        if self._connected is None:
            self._connected = connect(self.name)
        return self._connected

    def _project(self) -> Project:
        engine = self._engine()
        return Project(self.state, engine.host, user_of(engine.rootless))

    def _running(self) -> Stack | None:
        stack = running_stack(self.state) if self._is_recorded() else None
        if stack is None:
            return None
        infos = self._engine().infos()
        return stack if any(info.pid is not None for info in infos.values()) else None

    def _is_recorded(self) -> bool:
        """Whether the stack that was last started here is one of containers."""
        with suppress(NotHealthy):  # it was written by another version
            stack = running_stack(self.state)
            return stack is not None and stack.target == "compose"
        return False

    def _begin(self, stack: Stack, show: Show, say: Say) -> None:
        project = self._project()
        content = self._write(stack)
        built = image.ensure(self._engine(), project, stack, content, say)
        project.create()
        if built:
            image.remove_replaced(self._engine())
        self._start(plan(stack), show)

    def _write(self, stack: Stack, serving: Stack | None = None) -> str:
        project = self._project()
        try:
            content = project.write_context(stack) if stack.compose.build else ""
            project.write(stack, ensure_secrets(self.state), content, serving)
        except OSError as error:
            raise Unusable(f"cannot use {error.filename}: {error.strerror}") from None
        return content

    def _start(self, components: Sequence[Component], show: Show) -> None:
        """Start what does not run; stop just that again when it fails."""
        engine = self._engine()
        started: list[str] = []
        with (
            undone_on_failure(lambda: stop_containers(engine, started)),
            engine.starting() as runner,
        ):
            bring_up(runner, components, show, {}, started, READY_SECONDS)

    def _remove_all(self) -> int:
        removed = remove_all(self._engine(), self.state)
        if self._is_recorded():
            for file in (self._record, self._configured):
                file.unlink(missing_ok=True)
        return removed

    def _locked(self) -> AbstractContextManager[None]:
        if not (self.state / "run").is_dir():
            self.running()
        return locked(self.state / "run")

    def _configured_then(self) -> Stack | None:
        try:
            return Stack.model_validate_json(self._configured.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _prepare_folders(self) -> None:
        try:
            private_folder(self.state)
            for name in ("run", "logs"):
                private_folder(self.state / name)
        except OSError as error:
            raise Unusable(f"cannot use {error.filename}: {error.strerror}") from None


def _refuse_unsupported(stack: Stack) -> None:
    if stack.postgres.replica:
        raise ConfigError(
            "postgres.replica = true: the compose target has no read replica; "
            "set it to false, or use the local target"
        )
