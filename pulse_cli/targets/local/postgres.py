"""The data folder of PostgreSQL, and the user that it runs as.

PostgreSQL refuses to run as root. For root it runs in a user namespace of its own, where it is
`nobody` and yet owns root's files; where namespaces are forbidden (containers), it runs as the
real `nobody` with the one capability that lets it through root's private folders.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pulse_cli.errors import MissingComponent, Unusable
from pulse_cli.programs import POSTGRES_SETTINGS
from pulse_cli.targets.local.processes import LABEL

NOBODY = 65534

NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
SETPRIV = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--",
)


@cache
def ordinary_user() -> tuple[str, ...]:
    """Return what a PostgreSQL command line starts with, so that it does not run as root.

    Raises:
        MissingComponent: when this is root and the machine has no way to be somebody else.
    """
    if os.geteuid() != 0:
        return ()
    for prefix in (NAMESPACE, SETPRIV):
        if shutil.which(prefix[0]) is not None and _succeeds([*prefix, "true"]):
            return prefix
    raise MissingComponent(
        "PostgreSQL refuses to run as root and this machine allows neither user namespaces nor "
        "setpriv; run pulse as an ordinary user"
    )


def initialise(binaries: Path, state: Path, password: str) -> None:
    """Make the cluster of a stack, whose superuser is `pulse`, unless it is there.

    It is made in a temporary folder and renamed, so that an interrupted `initdb` leaves nothing
    that looks like a cluster; leftovers of one are removed.

    Raises:
        Unusable: when `initdb` fails (a full disk, an unwritable folder).
    """
    prefix = ordinary_user()
    data = state / "data" / "postgres"
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in data.parent.glob(".initdb-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not (data / "PG_VERSION").is_file():
        shutil.rmtree(data, ignore_errors=True)
        with TemporaryDirectory(prefix=".initdb-", dir=data.parent) as temporary:
            made = Path(temporary) / "data"
            made.mkdir(mode=0o700)
            password_file = Path(temporary) / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(password + "\n")
            _own(Path(temporary), prefix)
            _initdb([*prefix, str(binaries / "initdb")], made, password_file, state)
            with (made / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write("\n# Set by Pulse; addresses and limits are on the command line.\n")
                settings.writelines(
                    f"{key} = '{value}'\n" for key, value in POSTGRES_SETTINGS.items()
                )
            made.rename(data)
    _own(data, prefix)


def _initdb(command: Sequence[str], data: Path, password_file: Path, state: Path) -> None:
    argv = [
        *command,
        f"--pgdata={data}",
        f"--pwfile={password_file}",
        "--username=pulse",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--no-instructions",
    ]
    done = subprocess.run(
        argv,
        env={**os.environ, LABEL: str(state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if re.search(r"error:|FATAL:|PANIC:", line)]
        reason = (told or lines or [f"initdb ended with {done.returncode}"])[0]
        raise Unusable(f"cannot make the database in {state}: {reason}")


def _own(folder: Path, prefix: tuple[str, ...]) -> None:
    """Give the folder to the user that PostgreSQL runs as (it insists on owning its data)."""
    if os.geteuid() != 0:
        return
    owner = NOBODY if prefix == SETPRIV else 0
    if folder.stat().st_uid == owner:
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), owner, owner, follow_symlinks=False)  # noqa: PTH118
    os.chown(folder, owner, owner)


def _succeeds(argv: Sequence[str]) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
