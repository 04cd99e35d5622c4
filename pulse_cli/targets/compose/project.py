"""The compose project of a state folder: its files, and `docker compose` upon them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pulse_cli.errors import MissingComponent, Unusable
from pulse_cli.files import private_folder, write_private, write_public
from pulse_cli.render import compose, docker, envoy, kong
from pulse_cli.render.gateway import filled, in_compose
from pulse_cli.render.stores import rabbitmq_files, redis_files
from pulse_cli.stack.model import SERVICE_NAMES, Redis, Stack
from pulse_cli.stack.secrets import MIGRATE, Secrets

OWNER = 10001
"""Whom the containers run as when `pulse` is run by root: nobody that the machine knows."""

STORES = ("postgres", "redis", "rabbitmq")
OBSERVERS = ("prometheus", "grafana")
"""Whose data lie in folders, beside the stores'."""

COMPOSE_SECONDS = 120
BUILD_SECONDS = 1800

NO_COMPOSE = (
    "the compose target needs docker compose, version 2; install docker-compose-plugin (Docker's "
    "packages), docker-compose-v2 (Ubuntu) or docker-compose (Debian 13)"
)


def project_name(state: Path) -> str:
    """Return the name of a state folder's project, by which its containers are found again."""
    folder = re.sub(r"[^a-z0-9]+", "-", state.parent.name.lower()).strip("-")[:20].strip("-")
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:8]
    return f"pulse-{folder}-{digest}" if folder else f"pulse-{digest}"


def user_of(rootless: bool) -> str:
    """Return the `UID:GID` that containers run as: this user's own, who owns the private files.

    Root gives its files to somebody who is not root; the root of a rootless engine is this user.
    """
    if rootless:
        return "0:0"
    if os.geteuid() == 0:
        return f"{OWNER}:{OWNER}"
    return f"{os.geteuid()}:{os.getegid()}"


class Project:
    """The files below a state folder that make its compose project."""

    def __init__(self, state: Path, host: str, user: str) -> None:
        """Make it for an engine's address, and for the `UID:GID` that containers run as."""
        self.folder = state / "compose"
        self.context = state / "docker"
        self._state = state
        self._host = host
        self._user = user
        uid, gid = map(int, user.split(":"))
        self._owner = (uid, gid) if os.geteuid() == 0 and uid != 0 else None

    def write(
        self, stack: Stack, secrets: Secrets, content: str, serving: Stack | None = None
    ) -> None:
        """Write everything that compose and the containers read.

        Args:
            stack: what there shall be containers for.
            secrets: the stack's.
            content: the digest of what the services' image is built from.
            serving: the one whose instances the gateway, the services and Prometheus are told of,
                while the stack is being scaled.

        Raises:
            OSError: a file cannot be written.
        """
        for name in (*STORES, *OBSERVERS):
            self._owned_folder(self.folder / "data" / name)
        self._owned_folder(self.folder / "api")
        files = compose.files(serving or stack)
        files["compose.yaml"] = compose.files(stack)["compose.yaml"]
        for path, text in files.items():
            _public(self.folder, path, text)
        self._give_away(secrets)
        for path, text in _private_files(serving or stack, secrets).items():
            file = self.folder / "config" / path
            self._owned_folder(file.parent)
            # Envoy reads it in the moment in which it is there.
            write_private(file, filled(text, secrets), self._owner)
        variables = {
            "PULSE_PROJECT": project_name(self._state),
            "PULSE_USER": self._user,
            "PULSE_CONTENT": content,
            "COMPOSE_PROFILES": "observability" if stack.compose.observability else "",
        }
        lines = [f"{key}={value}\n" for key, value in variables.items()]
        write_private(self._state / ".env", "".join(lines))

    def write_context(self, stack: Stack) -> str:
        """Write what the services' image is built from; return a digest of it.

        Raises:
            Unusable: `compose.wheels` is no folder of wheels.
            OSError: a file cannot be written.
        """
        files = docker.files(stack)
        digest = hashlib.sha256(stack.images.base.encode())
        for path, text in sorted(files.items()):
            _public(self.context, path, text)
            digest.update(f"{path}\0{text}\0".encode())
        wanted = {self.context / path for path in files}
        for file in (self.context / "app").rglob("*"):
            if file.is_file() and file not in wanted:
                file.unlink()
        shutil.rmtree(self.context / "wheels", ignore_errors=True)
        if stack.compose.wheels:
            into = private_folder(self.context / "wheels")
            for wheel in self._wheels(stack.compose.wheels):
                shutil.copyfile(wheel, into / wheel.name)
                digest.update(f"{wheel.name}\0{wheel.stat().st_size}\0".encode())
        return digest.hexdigest()[:16]

    def create(self, only: Sequence[str] = ()) -> None:
        """Make the containers that are missing and replace those that have changed; start none.

        With `only` just those are made, if they are missing.

        Raises:
            MissingComponent: `docker compose` is not here.
            Unusable: it refuses.
        """
        which = ("--no-recreate", *only) if only else ("--remove-orphans",)
        self._run(("create", "--no-build", "--pull", "never", *which), COMPOSE_SECONDS)

    def build(self) -> None:
        """Build the services' image. Raises as `create`."""
        self._run(("build", "migrate"), BUILD_SECONDS)

    def check(self) -> None:
        """Raise `MissingComponent` when there is no `docker compose`, version 2."""
        if shutil.which("docker") is None:
            raise MissingComponent(
                "the compose target needs the docker command; install it (docker-cli or docker.io)"
            )
        done = subprocess.run(
            ("docker", "compose", "version", "--short"), capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not re.match(r"v?[2-9]|v?[1-9]\d", done.stdout.strip()):
            raise MissingComponent(NO_COMPOSE)

    def _run(self, arguments: Sequence[str], seconds: float) -> None:
        place = ("--project-directory", str(self._state), "-f", str(self.folder / "compose.yaml"))
        command = ("docker", "compose", "--ansi", "never", *place, *arguments)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                env=os.environ | {"DOCKER_HOST": self._host},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unusable(f"docker compose {arguments[0]} took over {seconds:g} s") from None
        log = self._state / "logs" / "compose.log"
        log.write_text(done.stdout, encoding="utf-8")
        if done.returncode != 0:
            said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
            raise Unusable(
                f"docker compose {arguments[0]} failed: {said[-1] if said else 'no word'} "
                f"(all of it: {log})"
            )

    def _wheels(self, folder: str) -> list[Path]:
        path = self._state.parent / folder
        found = sorted(path.glob("*.whl"))
        if not found:
            raise Unusable(f"compose.wheels = {folder!r}: there are no wheels in {path}")
        return found

    def _give_away(self, secrets: Secrets) -> None:
        """Make the secrets of services and jobs those of the user whom they run as."""
        if self._owner is not None:
            for owner in (*SERVICE_NAMES, MIGRATE):
                for file in secrets.owned_by(owner).iterdir():
                    os.chown(file, *self._owner)

    def _owned_folder(self, folder: Path) -> None:
        private_folder(folder)
        if self._owner is not None:
            os.chown(folder, *self._owner)


def _private_files(stack: Stack, secrets: Secrets) -> dict[str, str]:
    inside = Redis(host=compose.ANYWHERE, port=6379)
    rabbitmq = rabbitmq_files(secrets, "/etc/pulse/rabbitmq")
    return {
        **redis_files(inside, secrets, "/data"),
        **{f"rabbitmq/{name}": text for name, text in rabbitmq.items()},
        **{f"gateway/{name}": text for name, text in _gateway_files(stack).items()},
    }


def _gateway_files(stack: Stack) -> dict[str, str]:
    where = in_compose(stack)
    if stack.gateway.kind == "kong":
        return kong.around(stack, where) | {compose.KONG_ADMIN: compose.kong_admin()}
    endpoints = {f"eds/{name}.json": text for name, text in envoy.endpoints(where).items()}
    return envoy.around(stack, where) | endpoints


def _public(folder: Path, path: str, text: str) -> None:
    """Write a file that everybody may read, once they are let into the state folder."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for parent in (file.parent, *file.parent.parents):
        if parent == folder:
            break
        parent.chmod(0o755)
    write_public(file, text)
