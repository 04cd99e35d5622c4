"""Cancellation that is not lost."""

from __future__ import annotations

import asyncio

_CANCEL_SECONDS = 0.5


async def ended(task: asyncio.Task[None]) -> None:
    """End a task; asked again as long as it goes on, since a cancellation may be swallowed."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)


def raise_if_cancelled() -> None:
    """Raise a cancellation of this task that was asked for and swallowed on the way.

    Until Python 3.12 `asyncio.wait_for`, which aiopg waits with, swallows one that comes at the
    moment its result does. A loop that never ends otherwise would then never end at all.

    Not for a task that goes on after a TaskGroup of its own has failed: until Python 3.13 that
    leaves it looking cancelled.

    Raises:
        asyncio.CancelledError: the task is to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
