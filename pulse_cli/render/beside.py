"""A gateway of one's own beside a stack on this machine, ready to be started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pulse_cli.render import envoy, kong
from pulse_cli.render.gateway import Surroundings, filled, on_loopback
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import ensure_secrets
from pulse_cli.targets.local.programs import description_folder

GATEWAYS: Mapping[str, Callable[[Stack, Surroundings], Mapping[str, str]]] = {
    "kong": kong.around,
    "envoy": envoy.around,
}


def beside(kind: str, stack: Stack, state: Path) -> dict[str, str]:
    """Return a gateway's files with the secrets of a state folder, made if there are none yet.

    They name each other by their names alone, so the gateway is started in their folder.

    Raises:
        OSError: the secrets cannot be read or written.
    """
    secrets = ensure_secrets(state)
    where = replace(on_loopback(stack), description=f"{description_folder(state)}/")
    return {path: filled(text, secrets) for path, text in GATEWAYS[kind](stack, where).items()}
