"""What this machine needs for a stack of containers: each check a verdict and its mend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pulse_cli.doctor import Check, ill, looked
from pulse_cli.errors import PulseError
from pulse_cli.stack.model import Stack
from pulse_cli.targets.compose import image, network
from pulse_cli.targets.compose.engine import Engine, connect
from pulse_cli.targets.compose.project import Project, project_name, user_of
from pulse_cli.targets.local import ports


def examine(stack: Stack, state: Path) -> list[Check]:
    """Look at everything that a stack of containers needs."""
    return list(_checks(stack, state))


def _checks(stack: Stack, state: Path) -> Iterator[Check]:
    try:
        engine = connect(project_name(state))
    except PulseError as error:
        yield ill("docker engine", error)
        return
    version = engine.client.version()["Version"]
    yield Check("docker engine", "ok", f"{version} at {engine.host}")
    project = Project(state, engine.host, user_of(engine.rootless))
    yield looked("docker compose", project.check, "version 2")
    here = image.present(engine, stack)
    absent = [name for name, found in here.items() if not found]
    yield Check(
        "images",
        "ok",
        f"{len(here) - len(absent)} of {len(here)} are here"
        + (f"; pulled or built at the next start: {', '.join(absent)}" if absent else ""),
    )
    if any(info.pid for info in engine.infos().values()):
        yield Check("ports and network", "ok", "in use by this folder's stack")
    else:
        yield looked("ports and network", lambda: _free(stack, engine), "free")


def _free(stack: Stack, engine: Engine) -> None:
    ports.refuse_taken(stack, network.published(stack))
    network.refuse_taken(stack, engine)
