"""Fixtures for tests against a running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aio_pika.abc import AbstractChannel

from tests.conftest import RunningStack
from tests.connected.broker import connected
from tests.connected.people import People


@pytest.fixture
async def people(stack: RunningStack) -> AsyncIterator[People]:
    """Makes people that call the stack's gateway."""
    async with AsyncExitStack() as clients:
        yield People(stack, clients)


@pytest.fixture
async def channel(stack: RunningStack) -> AsyncIterator[AbstractChannel]:
    """A channel to the stack's broker."""
    async with connected(stack) as connection:
        yield await connection.channel()
