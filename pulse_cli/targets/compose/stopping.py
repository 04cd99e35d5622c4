"""Stopping containers: those that use the stores, then the stores; and removing what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pulse_cli.targets.compose import logs
from pulse_cli.targets.compose.engine import Engine, refused
from pulse_cli.targets.compose.plan import STORES

if TYPE_CHECKING:
    from docker.models.containers import Container

STOP_SECONDS = 8
"""Until a container is killed; services drain within 5, and stores lose nothing acknowledged."""


def stop_containers(engine: Engine, names: Iterable[str]) -> None:
    """Stop components, all at once, and wait until they have ended."""
    wanted = set(names)
    _stop([one for name, one in engine.containers().items() if name in wanted])


def remove_containers(engine: Engine, names: Iterable[str]) -> None:
    """Stop components and remove their containers; those that are not there are left out."""
    wanted = set(names)
    _remove([one for name, one in engine.containers().items() if name in wanted])


def remove_all(engine: Engine, state: Path) -> int:
    """Stop and remove every container of the project and its network; keep their last lines.

    Returns how many containers there were.
    """
    found = engine.containers()
    if (state / "logs").is_dir():
        for name, container in found.items():
            logs.save(state, name, container)
    _remove([one for name, one in found.items() if name not in STORES])
    _remove([one for name, one in found.items() if name in STORES])
    for network in engine.networks():
        with refused():
            network.remove()
    return len(found)


def _stop(containers: Sequence[Container]) -> None:
    def stop(container: Container) -> None:
        with refused(str(container.name)):
            container.stop(timeout=STOP_SECONDS)

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, containers))


def _remove(containers: Sequence[Container]) -> None:
    _stop(containers)
    for container in containers:
        with refused(str(container.name)):
            container.remove(v=True, force=True)
