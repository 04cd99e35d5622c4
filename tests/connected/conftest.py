"""Fixtures for tests against a running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.conftest import RunningStack
from tests.connected.people import People


@pytest.fixture
async def people(stack: RunningStack) -> AsyncIterator[People]:
    """Makes people that call the stack's gateway."""
    async with AsyncExitStack() as clients:
        yield People(stack, clients)
