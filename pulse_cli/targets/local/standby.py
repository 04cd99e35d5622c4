"""Makes the data of PostgreSQL's standby when they will not do, then becomes the standby.

Run by Supervisor at each start, as `python -m pulse_cli.targets.local.standby BIN STATE CONNINFO
OPTION…`: so data that are lost or broken mend themselves, whoever starts the standby.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from pulse_cli.errors import PulseError, Unusable
from pulse_cli.targets.local.postgres import ordinary_user

DATA = Path("data") / "postgres-replica"
PRIMARY = Path("data") / "postgres"
STARTED = Path("run") / "postgres-replica.started"
"""Tells of the last start: when the control file had been written, and when the machine booted."""

CLOCK_SECONDS = 60.0
"""How far the time of one boot may seem to move, as clocks are set."""

CONTROL = Path("global") / "pg_control"


def prepare(binaries: Path, state: Path, conninfo: str) -> None:
    """Make the standby's data by a base backup of the server, unless those that are there will do.

    They are made in a temporary folder and renamed, so that an interrupted backup leaves nothing
    that looks like a standby.

    Raises:
        Unusable: the backup fails.
    """
    data = state / DATA
    for leftover in data.parent.glob(".basebackup-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if (reason := unfit(binaries, state)) is not None:
        print(f"the standby's data are made anew: {reason}", flush=True)
        with TemporaryDirectory(prefix=".basebackup-", dir=data.parent) as temporary:
            made = Path(temporary) / "data"
            _back_up(binaries, conninfo, made)
            shutil.rmtree(data, ignore_errors=True)
            made.rename(data)
    (state / STARTED).write_text(f"{_written(data)} {psutil.boot_time()}")


def unfit(binaries: Path, state: Path) -> str | None:
    """Say why the standby's data cannot follow the server, `None` when they can."""
    data, primary = state / DATA, state / PRIMARY
    if not data.is_dir():
        return "there are none"
    ours, theirs = _control(binaries, data), _control(binaries, primary)
    if not ours or not (data / "PG_VERSION").is_file() or not (data / "standby.signal").is_file():
        return "they are broken"
    if ours["Database system identifier"] != theirs.get("Database system identifier"):
        return "they are another server's"
    if (reason := _untrusted(state, ours["Database cluster state"])) is not None:
        return reason
    if not (primary / "pg_wal" / ours["Latest checkpoint's REDO WAL file"]).is_file():
        return "the server no longer keeps what they lack"
    return None


def _untrusted(state: Path, cluster: str) -> str | None:
    """Say why data that look well may not be, from what is known of the last start."""
    written, booted = _started(state)
    if abs(booted - psutil.boot_time()) > CLOCK_SECONDS:
        return "the machine was started since, and a standby does not sync what it writes"
    # A server that was killed leaves its pid file, one that could not go on removes it.
    gave_up = cluster == "in archive recovery" and not (state / DATA / "postmaster.pid").exists()
    if gave_up or written == _written(state / DATA):
        return "the last start with them failed"
    return None


def _back_up(binaries: Path, conninfo: str, made: Path) -> None:
    options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--no-password")
    argv = [
        *ordinary_user(),
        str(binaries / "pg_basebackup"),
        f"--dbname={conninfo}",
        f"--pgdata={made}",
        *options,
    ]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise Unusable(f"no base backup: {lines[-1] if lines else 'pg_basebackup says nothing'}")


def _control(binaries: Path, data: Path) -> dict[str, str]:
    """Return what a data folder's control file says; nothing when it cannot be read."""
    done = subprocess.run(
        [*ordinary_user(), str(binaries / "pg_controldata"), f"--pgdata={data}"],
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    # It reads a damaged file all the same, and says so on stdout.
    if done.returncode != 0 or "WARNING" in done.stdout + done.stderr:
        return {}
    return dict(re.findall(r"^([^:\n]+):\s+(.*)$", done.stdout, re.MULTILINE))


def _written(data: Path) -> str:
    return str((data / CONTROL).stat().st_mtime_ns)


def _started(state: Path) -> tuple[str, float]:
    """Return what is known of the last start; one of long ago when nothing is."""
    try:
        written, booted = (state / STARTED).read_text().split()
        return written, float(booted)
    except (FileNotFoundError, ValueError):
        return "", 0.0


def main() -> None:
    """Entry point; exits 1 with one sentence when there are no data to start with."""
    binaries, state, conninfo, *options = sys.argv[1:]
    try:
        prepare(Path(binaries), Path(state), conninfo)
        prefix = ordinary_user()
    except (PulseError, OSError) as error:
        sys.exit(str(error))
    server = str(Path(binaries) / "postgres")
    argv = [*prefix, server, "-D", str(Path(state) / DATA), *options]
    os.execvp(argv[0], argv)  # noqa: S606 - so that Supervisor's signals reach the server itself


if __name__ == "__main__":
    main()
