"""The local target: a stack as processes of this machine, under Supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from pulse_cli.components import Binaries, find_binaries
from pulse_cli.errors import NotHealthy, Unusable
from pulse_cli.files import private_folder, write_private
from pulse_cli.programs import connection_limit
from pulse_cli.render.local import render_local
from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.stack.secrets import OPERATOR, Secrets, ensure_secrets
from pulse_cli.targets.bringup import Gates, bring_up
from pulse_cli.targets.changing import locked, undone_on_failure
from pulse_cli.targets.choosing import choose, instance, is_ready
from pulse_cli.targets.local import logs, ports, postgres, processes, rabbitmq_home, runtime
from pulse_cli.targets.local.plan import GATEWAY, POSTGRES, STORES, Component, plan
from pulse_cli.targets.local.scaling import scaled, wait_drained, wait_given_out
from pulse_cli.targets.local.stopping import stop_components, stop_stack
from pulse_cli.targets.local.supervisor import ENDED, Supervisor
from pulse_cli.targets.progress import Show
from pulse_cli.targets.target import Line, Say, Status

LEAST_FREE_BYTES = 300 * 2**20
"""What fresh data take: PostgreSQL 60 MB and its first write-ahead log, the broker's reserve."""

FULL_BYTES = 2**20

RESTART_SECONDS = 8.0
"""How long a restart waits for a stop; Supervisor kills after 5."""


class Local:
    """The stack of one state folder."""

    part: ClassVar[str] = "process"

    def __init__(self, state: Path) -> None:
        self.state = state
        self.supervisor = Supervisor(state, runtime.supervisor_socket(state))
        self._record = state / "run" / "stack.json"
        self._configured = state / "run" / "configured.json"

    def running(self) -> Stack:
        """Return the effective stack.

        Raises:
            NotHealthy: its Supervisor does not run.
        """
        stack = self._running()
        if stack is None:
            raise self._absent()
        return stack

    def up(self, configured: Stack, isolated: bool, show: Show, say: Say) -> Stack:
        """Start what does not run, wait until all of it is ready, return the effective stack.

        A running stack keeps its ports and replicas, and `say` tells when the configuration has
        changed since. A start that fails or is interrupted stops what it started.

        Raises:
            MissingComponent: a program is not on this machine.
            Unusable: a port is taken, or the state folder cannot be used.
            NotHealthy: a component did not become ready.
        """
        binaries = find_binaries(self.state)
        self._prepare_folders()
        with locked(self.state / "run"):
            stack = self._running()
            if stack is not None:
                if self._configured_then() != configured:
                    say("the configuration has changed since this stack was started; apply it with")
                    say("  pulse down && pulse up")
                self._converge(stack, binaries, show)
                return stack
            if cleared := self._stop_all():
                say(f"cleared {cleared} processes that an earlier run left behind")
            stack = ports.isolated(configured) if isolated else configured
            ports.refuse_taken(stack, stack.ports())
            with undone_on_failure(self._stop_all), self._blaming_a_full_disk():
                self._begin(stack, configured, binaries, show)
        return stack

    def down(self) -> int:
        """Stop every process of the stack; return how many there were.

        It needs no state folder: processes are found by their label.
        """
        if not (self.state / "run").is_dir():
            return self._stop_all()
        with locked(self.state / "run"):
            return self._stop_all()

    def status(self) -> list[Status]:
        """Return every component as it is now. Raises `NotHealthy` when nothing runs."""
        components = plan(self.running())
        infos = self.supervisor.infos()
        restarts = self.supervisor.restarts()
        found: list[Status] = []
        for component in components:
            info = infos.get(component.name)
            state = info.state.lower() if info else "unknown"
            done = info is not None and component.kind == "job" and info.ended_well
            found.append(
                Status(
                    name=component.name,
                    kind=component.kind,
                    port=component.port,
                    pid=info.pid if info else None,
                    state="done" if done else state,
                    log=self.log(component.name),
                    uptime_seconds=info.now - info.started if info and info.pid else None,
                    restarts=restarts.get(component.name, 0),
                )
            )
        return found

    def restart(self, names: Sequence[str], show: Show) -> None:
        """Stop the components and start them again; none named means all.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing runs, or a component did not come back.
        """
        with locked(self._run_folder()):
            stack = self.running()
            components = plan(stack)
            chosen = choose(components, names)
            for group in ([n for n in chosen if n not in STORES], chosen):
                stop_components(self.supervisor, group, RESTART_SECONDS)
            binaries = self._trimmed(find_binaries(self.state))
            render_local(stack, ensure_secrets(self.state), self.state, binaries)
            self._align(stack)
            self._start([c for c in components if c.name in chosen], show, {})

    def scale(self, service: ServiceName, replicas: int, show: Show) -> Stack:
        """Run `replicas` instances of a service; the others are not restarted.

        New instances are in use when this returns; removed ones are not when they are stopped.

        Raises:
            ConfigError: the number is not allowed, or PostgreSQL has too few connections.
            Unusable: a new instance's port is taken.
            NotHealthy: nothing runs, or a new instance did not become ready.
        """
        with locked(self._run_folder()):
            old = self.running()
            limit = connection_limit(self._configured_then() or old)
            new = scaled(old, service, replicas, limit)
            added = sorted(set(new.ports()) - set(old.ports()))
            removed = sorted(set(old.ports()) - set(new.ports()))
            ports.refuse_taken(new, added)
            binaries = self._trimmed(find_binaries(self.state))
            secrets = ensure_secrets(self.state)

            def back() -> None:
                render_local(old, secrets, self.state, binaries)
                self._align(old)

            with undone_on_failure(back):
                render_local(new, secrets, self.state, binaries, serving=old if added else new)
                wait_drained(old, removed)
                self._align(new)
                concerned = {*added, GATEWAY}
                bring_up(self.supervisor, [c for c in plan(new) if c.name in concerned], show, {})
                render_local(new, secrets, self.state, binaries)
                wait_given_out(new, added)
                write_private(self._record, new.model_dump_json(indent=2))
        return new

    def kill(self, name: str) -> float:
        """End a service's instance at once, as a crash would; Supervisor starts it again.

        Returns:
            When it was struck (`time.monotonic`).

        Raises:
            ConfigError: there is no such instance.
            NotHealthy: nothing runs, or the instance does not.
        """
        info = self.supervisor.infos().get(instance(plan(self.running()), name).name)
        if info is None or info.pid is None:
            raise NotHealthy(f"{name} does not run; see: pulse status")
        os.kill(info.pid, signal.SIGKILL)
        return time.monotonic()

    def ready(self, name: str) -> bool:
        """Whether a service's instance answers that it is ready."""
        return is_ready(instance(plan(self.running()), name))

    def log(self, name: str) -> str:
        """Return the file of a component's log."""
        return str(self._log(name))

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the last lines that a component wrote; none when there is no log."""
        return logs.last_lines(self._log(name), count)

    def lines(
        self, configured: Stack, names: Sequence[str], count: int, follow: bool
    ) -> Iterator[Line]:
        """Yield the last lines of the components' logs, also of a stack that was stopped.

        Raises:
            ConfigError: a name is not a component of the stack.
            NotHealthy: nothing was logged.
        """
        components = plan(running_stack(self.state) or configured)
        paths = [self._log(name) for name in choose(components, names)]
        if not any(path.exists() for path in paths):
            raise NotHealthy(f"nothing was logged in {self.state}; start a stack with: pulse up")
        yield from (logs.follow if follow else logs.tail)(paths, count)

    def _log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def _run_folder(self) -> Path:
        """Return the folder of the lock. Raises `NotHealthy` when nothing runs."""
        if not (self.state / "run").is_dir():
            raise self._absent()
        return self.state / "run"

    def _absent(self) -> NotHealthy:
        orphans = processes.find_labelled(self.state)
        if orphans:
            return NotHealthy(
                f"Supervisor is gone and {len(orphans)} processes of the stack remain; "
                "clear them with: pulse down (or pulse up)"
            )
        return NotHealthy(f"no stack is running in {self.state.parent}; start it with: pulse up")

    def _running(self) -> Stack | None:
        return running_stack(self.state) if self.supervisor.answers() else None

    def _begin(self, stack: Stack, configured: Stack, binaries: Binaries, show: Show) -> None:
        write_private(self._record, stack.model_dump_json(indent=2))
        write_private(self._configured, configured.model_dump_json(indent=2))
        secrets = ensure_secrets(self.state)
        binaries = self._trimmed(binaries)
        with ThreadPoolExecutor(1) as pool:
            database = pool.submit(self._make_database, binaries, secrets)
            render_local(stack, secrets, self.state, binaries)
            config = self.state / "rendered" / "supervisord.conf"
            self.supervisor.start(binaries.python, config)
            bring_up(self.supervisor, plan(stack), show, {POSTGRES: database})

    def _converge(self, stack: Stack, binaries: Binaries, show: Show) -> None:
        """Start what does not run, also when an earlier command was killed on its way."""
        secrets = ensure_secrets(self.state)
        render_local(stack, secrets, self.state, self._trimmed(binaries))
        self._align(stack)
        with ThreadPoolExecutor(1) as pool:
            database = pool.submit(self._make_database, binaries, secrets)
            self._start(plan(stack), show, {POSTGRES: database})

    def _start(self, components: Sequence[Component], show: Show, gates: Gates) -> None:
        """Start what does not run; stop just that again when it fails."""
        started: list[str] = []

        def undo() -> None:
            stop_components(self.supervisor, started, RESTART_SECONDS)

        with undone_on_failure(undo), self._blaming_a_full_disk():
            bring_up(self.supervisor, components, show, gates, started)

    def _stop_all(self) -> int:
        stopped = stop_stack(self.state, self.supervisor)
        for file in (self._record, self._configured, self.supervisor.socket):
            if file.is_file() or file.is_socket():
                file.unlink()
        short = runtime.runtime_path(self.state)
        if short != self.state / "run":
            shutil.rmtree(short, ignore_errors=True)
            with suppress(OSError):  # other stacks of this user still have theirs
                short.parent.rmdir()
        return stopped

    def _align(self, stack: Stack) -> None:
        """Make Supervisor know exactly the components of the stack; stop what is too many.

        One whose program was rendered anew takes the change over when it is not running.
        """
        changed = self.supervisor.reread()
        infos = self.supervisor.infos()
        known = set(infos)
        wanted = {component.name for component in plan(stack)}
        idle = {name for name in changed & wanted & known if infos[name].state in ENDED}
        stop_components(self.supervisor, known - wanted, RESTART_SECONDS)
        for name in sorted((known - wanted) | idle):
            self.supervisor.remove(name)
        for name in sorted((wanted - known) | idle):
            self.supervisor.add(name)

    def _configured_then(self) -> Stack | None:
        try:
            return Stack.model_validate_json(self._configured.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _prepare_folders(self) -> None:
        try:
            private_folder(self.state)
            for name in ("run", "logs", "rendered", "data", "data/redis", "data/rabbitmq"):
                private_folder(self.state / name)
        except OSError as error:
            raise Unusable(f"cannot use {error.filename}: {error.strerror}") from None
        free = shutil.disk_usage(self.state).free
        if free < LEAST_FREE_BYTES:
            raise Unusable(
                f"{self.state} has {free >> 20} MiB of free disk space; "
                f"a stack needs at least {LEAST_FREE_BYTES >> 20}"
            )

    @contextmanager
    def _blaming_a_full_disk(self) -> Iterator[None]:
        """Name the cause where programs only end: the disk that they write to is full."""
        try:
            yield
        except NotHealthy as error:
            if shutil.disk_usage(self.state).free < FULL_BYTES:
                raise Unusable(f"the disk of {self.state} is full; free some space") from error
            raise

    def _make_database(self, binaries: Binaries, secrets: Secrets) -> None:
        password = secrets.get(OPERATOR, "superuser_password")
        postgres.initialise(binaries.postgres_bin, self.state, password)

    def _trimmed(self, binaries: Binaries) -> Binaries:
        into = runtime.runtime_folder(self.state) / "rabbitmq-home"
        return replace(binaries, rabbitmq_home=rabbitmq_home.trim(binaries.rabbitmq_home, into))
