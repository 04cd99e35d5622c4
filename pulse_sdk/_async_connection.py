"""The same as `_connection` for tasks; apart, since programs without any need no asyncio."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from pulse_sdk._connection import Content, left, made, refuse_forked, request_of
from pulse_sdk._flow import FetchToken, Send, Sleep, secret
from pulse_sdk.errors import InvalidInput
from pulse_sdk.hooks import Reply


class AsyncConnection:
    """Sends for the tasks of an `AsyncPulse`."""

    def __init__(self, http_client: httpx.AsyncClient | None) -> None:
        self._given = http_client is not None
        self._http = http_client or made(httpx.AsyncClient)
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._renewal: asyncio.Task[bool] | None = None

    def _current(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._pid != os.getpid():
            self._move(loop)
        return self._http

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin on an event loop, the first or another one."""
        if self._pid != os.getpid():
            refuse_forked(self._given)
        elif self._loop is None or self._given:
            self._loop = loop
            return
        elif not self._loop.is_closed():
            raise InvalidInput.of("client", "is in use on another event loop; make one for each")
        self._http = made(httpx.AsyncClient)
        self._pid, self._loop, self._renewal = os.getpid(), loop, None

    async def send(self, step: Send) -> Reply:
        """Carry the step out."""
        async with asyncio.timeout(left(step.until)):
            http = self._current()
            request = request_of(http, step)
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                content = Content(response, step.until)
                async for piece in response.aiter_bytes():
                    if not content.takes(piece):
                        break
            finally:
                await response.aclose()
        return content.reply()

    async def renew(self, renewal: Callable[[], Coroutine[Any, Any, bool]], until: float) -> bool:
        """Run a renewal, or wait for the one that runs.

        Raises:
            TimeoutError: It ran for too long.
        """
        # A task of its own, shielded: cancelling one of the calls that wait for the new tokens
        # must not lose them for the others.
        self._current()
        if self._renewal is None:
            self._renewal = asyncio.create_task(renewal())
            self._renewal.add_done_callback(self._renewed)
        async with asyncio.timeout(left(until)):
            return await asyncio.shield(self._renewal)

    def _renewed(self, task: asyncio.Task[bool]) -> None:
        self._renewal = None
        if not task.cancelled():
            task.exception()  # Seen, even if every call that waited for it is gone.

    async def sleep(self, step: Sleep) -> None:
        """Carry the step out."""
        await asyncio.sleep(step.seconds)

    async def fetch(self, step: FetchToken) -> object:
        """Carry the step out; a source that is not asynchronous is asked in a thread."""
        ask: Any = step.source.token
        if inspect.iscoroutinefunction(ask):
            return await ask(secret(step.refused))
        return await asyncio.to_thread(ask, secret(step.refused))

    async def aclose(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])
        if not self._given:
            await self._http.aclose()
