"""People of the tests: each registers over the gateway."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import pytest

from pulse_sdk import AsyncPulse
from pulse_sdk.contract.users import User
from tests.conftest import RunningStack

T = TypeVar("T")

PASSWORD = "correct horse battery"
EVENTUALLY_SECONDS = 60.0
"""After which what does not come is given up; it comes in a fraction of a second."""


@dataclass(frozen=True)
class Person:
    """A user and the client that is logged in as them."""

    user: User
    pulse: AsyncPulse


Join = Callable[[str], Awaitable[Person]]


@pytest.fixture
async def join(stack: RunningStack) -> AsyncIterator[Join]:
    """Register somebody whose name starts so."""
    async with AsyncExitStack() as clients:

        async def join(name: str) -> Person:
            pulse = await clients.enter_async_context(AsyncPulse(stack.gateway_url))
            username = f"{name}_{uuid.uuid4().hex[:12]}"
            registered = await pulse.auth.register(
                email=f"{username}@people.example",
                username=username,
                password=PASSWORD,
                display_name=name.title(),
            )
            return Person(registered.user, pulse)

        yield join


async def eventually(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], within: float = EVENTUALLY_SECONDS
) -> T:
    """Ask until the answer holds; fails with the last answer."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        answer = await ask()
        if holds(answer):
            return answer
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {within} s: {answer!r}")
        await asyncio.sleep(0.05)
