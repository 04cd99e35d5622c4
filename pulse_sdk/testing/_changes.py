"""Waiting for what others do, in threads and in tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


class Changes:
    """Guards what the fake knows, and wakes those who wait for it to change."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._tasks: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def tell(self) -> None:
        """Have everyone who waits look again."""
        with self.lock:
            self._changed.notify_all()
            for loop, event in self._tasks:
                loop.call_soon_threadsafe(event.set)

    def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Block until it holds; whether it did in time."""
        with self.lock:
            return self._changed.wait_for(holds, seconds)

    async def wait_async(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until it holds; whether it did in time."""
        event = asyncio.Event()
        waiting = (asyncio.get_running_loop(), event)
        with self.lock:
            self._tasks.add(waiting)
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await event.wait()
                    event.clear()
        except TimeoutError:
            return holds()
        finally:
            with self.lock:
                self._tasks.discard(waiting)
        return True
