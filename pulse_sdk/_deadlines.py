"""Waits on sockets that end with the deadline of the call they are for.

httpx gives each wait for a piece of an answer the whole timeout anew, so that a server which lets
its headers drip would hold up a blocking call for as long as it likes. A task is cancelled at its
deadline; a thread cannot be, so here every wait is cut to what is left. Only looking up a host's
name is not: the system does that.
"""

from __future__ import annotations

import math
import ssl
import threading
from collections.abc import Iterable
from time import monotonic
from typing import Any

import httpcore
import httpx


class Deadlines(httpcore.NetworkBackend):
    """Opens the connections of an httpx client; each thread has the deadline of its call."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._of_thread = threading.local()

    @classmethod
    def of(cls, http: httpx.Client) -> Deadlines:
        """Those of a client that was just made."""
        made = cls()
        # httpx has no option for it. Where a later release keeps its pools elsewhere, its own
        # timeouts still hold, which `_connection` cuts at the beginning of each wait.
        mounts = getattr(http, "_mounts", {})
        for transport in (getattr(http, "_transport", None), *mounts.values()):
            pool: Any = getattr(transport, "_pool", None)
            if hasattr(pool, "_network_backend"):
                pool._network_backend = made
        return made

    def begin(self, until: float) -> None:
        """What this thread waits for from now on has until then, on the monotonic clock."""
        self._of_thread.until = until

    def cut(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        """Seconds that a wait may take.

        Raises:
            TimeoutException: It is too late already.
        """
        left = getattr(self._of_thread, "until", math.inf) - monotonic()
        if left <= 0:
            raise late("the deadline is over")
        return timeout if left == math.inf else left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to a server or a proxy."""
        timeout = self.cut(timeout, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    """A connection, whose waits are cut."""

    def __init__(self, stream: httpcore.NetworkStream, deadlines: Deadlines) -> None:
        self._stream = stream
        self._deadlines = deadlines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        return self._stream.read(max_bytes, self._deadlines.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._stream.write(buffer, self._deadlines.cut(timeout, httpcore.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        timeout = self._deadlines.cut(timeout, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._deadlines)

    def get_extra_info(self, info: str) -> Any:
        """What the connection tells of itself."""
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        """End it."""
        self._stream.close()
