"""Every behaviour by its name, and how one is played."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.contract import accounts, events, messaging, notifications, posts, social
from tests.contract.cast import Cast, Stage, dumped

RECORDED = Path(__file__).parent.parent / "golden" / "contract.json"
"""What the services answered; `make contract` records it anew."""

BEHAVIOURS: dict[str, Callable[[Cast], Awaitable[None]]] = {
    behaviour.__name__: behaviour
    for area in (accounts, posts, social, messaging, notifications, events)
    for behaviour in area.BEHAVIOURS
}


@dataclass(frozen=True)
class Played:
    """What was said in a behaviour."""

    record: list[Any]
    raw: list[httpx.Response]


async def play(name: str, stage: Stage) -> Played:
    """Play a behaviour on a stage."""
    cast = Cast(stage)
    try:
        await BEHAVIOURS[name](cast)
    finally:
        await cast.close()
    return Played(dumped(cast.record), cast.raw)


def recorded() -> dict[str, list[Any]]:
    """What the services answered when it was recorded, by behaviour."""
    found: dict[str, list[Any]] = json.loads(RECORDED.read_text())
    return found
