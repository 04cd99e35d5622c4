"""The services say what was recorded of them, which is what the fake of `pulse_sdk.testing` says.

`make contract` records anew.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.contract.behaviours import BEHAVIOURS, RECORDED, play, recorded
from tests.contract.cast import RealStage

pytestmark = pytest.mark.timeout(600)  # The first test plays all behaviours.

_AT_ONCE = 6
"""Behaviours played at the same time: most of each is waiting for what follows from a change."""


@pytest.fixture(scope="module")
def said(stack: RunningStack) -> dict[str, list[Any] | Exception]:
    """What the services say in each behaviour, recorded when that is asked for."""
    found = asyncio.run(_play_all(stack.gateway_url))
    if os.environ.get("RECORD_CONTRACT"):
        failed = [f"{name}: {record!r}" for name, record in found.items() if not _is_record(record)]
        assert not failed, failed
        RECORDED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return found


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_services_say_what_was_recorded(
    said: dict[str, list[Any] | Exception], name: str
) -> None:
    found = said[name]
    if isinstance(found, Exception):
        raise found
    assert found == recorded()[name]


async def _play_all(url: str) -> dict[str, list[Any] | Exception]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, name: str) -> list[Any]:
        async with turns:
            return (await play(name, RealStage(url, f"127.88.0.{number}"))).record

    found = await asyncio.gather(
        *(one(number, name) for number, name in enumerate(BEHAVIOURS, 1)), return_exceptions=True
    )
    outcomes: dict[str, list[Any] | Exception] = {}
    for name, outcome in zip(BEHAVIOURS, found, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome
        outcomes[name] = outcome
    return outcomes


def _is_record(outcome: list[Any] | Exception) -> bool:
    return isinstance(outcome, list)
