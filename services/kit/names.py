"""Names that stand for several addresses, as a headless Service of Kubernetes does for its pods."""

from __future__ import annotations

import asyncio
import logging
import socket
from time import monotonic

import yarl

from services.kit.errors import ServiceError

log = logging.getLogger(__name__)

PREFIX = "dns+"
"""Marks a URL that stands for every address of its name: `dns+http://posts-pods:8082`."""

_FRESH_SECONDS = 3.0
"""How long an answer is used before the name is looked up again: less than a pod serves on after it
was taken out of the name."""
_LOOK_UP_SECONDS = 2.0


class Names:
    """The addresses of names. A name is looked up again while its last answer still serves."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[str], float]] = {}
        self._looking: dict[str, asyncio.Task[list[str]]] = {}

    async def urls(self, url: str) -> list[str]:
        """The URLs of all addresses behind one that starts with `dns+`.

        Raises:
            ServiceError: 503 when the name has never been found.
        """
        known, fresh_until = self._known.get(url, ([], 0.0))
        if monotonic() >= fresh_until and url not in self._looking:
            task = self._looking[url] = asyncio.ensure_future(self._look_up(url))
            task.add_done_callback(lambda done: self._done(url, done))
        return known or await asyncio.shield(self._looking[url])

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, url: str, task: asyncio.Task[list[str]]) -> None:
        del self._looking[url]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; it may be nobody

    async def _look_up(self, url: str) -> list[str]:
        known, _ = self._known.get(url, ([], 0.0))
        base = yarl.URL(url.removeprefix(PREFIX))
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                answers = await asyncio.get_running_loop().getaddrinfo(
                    base.host, base.port, type=socket.SOCK_STREAM
                )
        except (OSError, TimeoutError) as error:
            log.warning("%s cannot be looked up: %r", base.host, error)
            if not known:
                raise ServiceError.unavailable(base.host or url) from None
        else:
            known = sorted({str(base.with_host(str(answer[4][0]))) for answer in answers})
        self._known[url] = (known, monotonic() + _FRESH_SECONDS)
        return known
