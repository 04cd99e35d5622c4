"""What carries requests: an httpx client, ours or a given one, and the renewal of tokens in turn.

Shared by a client and its views, threads or tasks. Nothing here knows of calls or retries.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from time import monotonic
from typing import TypeVar

import httpx

import pulse_sdk
from pulse_sdk._flow import LARGEST_ANSWER, Send
from pulse_sdk.errors import InvalidInput
from pulse_sdk.hooks import Reply

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
"""A name or an IPv4 address; those of IPv6 are left to httpx."""

HttpT = TypeVar("HttpT", httpx.Client, httpx.AsyncClient)


class Connection:
    """Sends for the threads of a `Pulse`."""

    def __init__(self, http_client: httpx.Client | None) -> None:
        self._given = http_client is not None
        self._begin(http_client)

    def _begin(self, http_client: httpx.Client | None = None) -> None:
        from pulse_sdk._deadlines import Deadlines

        self._http = http_client or made(httpx.Client)
        self._deadlines = Deadlines() if self._given else Deadlines.of(self._http)
        self._pid = os.getpid()
        self._renewing = threading.Lock()

    def _current(self) -> httpx.Client:
        if self._pid != os.getpid():
            refuse_forked(self._given)
            # Not closed: its sockets are the parent's, too, and nobody here holds its lock.
            self._begin()
        return self._http

    def send(self, step: Send) -> Reply:
        """Carry the step out."""
        http = self._current()
        self._deadlines.begin(step.until)
        response = http.send(request_of(http, step), stream=True, follow_redirects=False)
        try:
            content = Content(response, step.until)
            for piece in response.iter_bytes():
                if not content.takes(piece):
                    break
        finally:
            response.close()
        return content.reply()

    def renew(self, renewal: Callable[[], bool], until: float) -> bool:
        """Run a renewal when no other runs.

        Raises:
            TimeoutError: Another one ran for too long.
        """
        self._current()
        if not self._renewing.acquire(timeout=left(until) or -1):
            raise TimeoutError
        try:
            return renewal()
        finally:
            self._renewing.release()

    def close(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if not self._given:
            self._http.close()


class Content:
    """An answer's content, as much of it as is wanted."""

    def __init__(self, response: httpx.Response, until: float) -> None:
        self._response = response
        self._until = until
        self._pieces: list[bytes] = []
        self._size = 0

    def takes(self, piece: bytes) -> bool:
        """Add a piece, unless that makes it too large."""
        if monotonic() >= self._until:
            raise TimeoutError
        self._size += len(piece)
        if self._size > LARGEST_ANSWER:
            return False
        self._pieces.append(piece)
        return True

    def reply(self) -> Reply:
        """The answer with its content."""
        whole = self._size <= LARGEST_ANSWER
        content = b"".join(self._pieces) if whole else b""
        return Reply(self._response.status_code, self._response.headers, content, whole)


class _Left(Mapping[str, float | None]):
    """Timeouts for the transport, none of which reaches past a deadline when it is asked for."""

    def __init__(self, timeout: httpx.Timeout, until: float) -> None:
        self._timeouts = timeout.as_dict()
        self._until = until

    def __getitem__(self, name: str) -> float | None:
        # Never 0, which would mean not to wait for what is there already.
        left = max(0.001, self._until - monotonic())
        seconds = self._timeouts[name]
        return left if seconds is None else min(seconds, left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._timeouts)

    def __len__(self) -> int:
        return len(self._timeouts)


def left(until: float) -> float | None:
    """Seconds left, None without a deadline."""
    return None if until == math.inf else max(0.001, until - monotonic())


def request_of(http: httpx.Client | httpx.AsyncClient, step: Send) -> httpx.Request:
    timeout = step.timeout.as_dict() if step.until == math.inf else _Left(step.timeout, step.until)
    return http.build_request(
        step.method,
        step.url,
        params=step.query or None,
        headers=step.headers,
        content=step.content,
        extensions={"timeout": timeout},
    )


def made(kind: type[HttpT]) -> HttpT:
    """An httpx client of our own, which heeds the environment's proxies and certificates."""
    try:
        return kind(headers={"User-Agent": _user_agent()})
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
        raise InvalidInput.of(
            "environment",
            "a proxy or certificates that it names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, "
            f"SSL_CERT_FILE, SSL_CERT_DIR) cannot be used: {error}",
        ) from None


@cache
def _user_agent() -> str:
    return f"pulse-sdk/{pulse_sdk.__version__}"


def refuse_forked(given: bool) -> None:
    if given:
        raise InvalidInput.of(
            "http_client", "belongs to the process this one was forked from; make it after the fork"
        )


def checked(base_url: str) -> str:
    """The base URL without a final slash.

    Raises:
        InvalidInput: It is not the address of a server.
    """
    if not isinstance(base_url, str):
        raise InvalidInput.of("base_url", "must be a string such as https://example.org")
    if "@" in base_url:  # Not shown, since there may be a password before it.
        raise InvalidInput.of("base_url", "must not hold a user name or password; log in instead")
    try:
        url = httpx.URL(base_url)
        host = url.host and url.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidInput.of("base_url", f"{base_url!r} is not a URL: {error}") from None
    if url.scheme not in {"http", "https"} or not (":" in host or _HOST.fullmatch(host)):
        raise InvalidInput.of(
            "base_url", f"{base_url!r} must look like http://127.0.0.1:8000 or https://example.org"
        )
    if url.port is not None and not 0 < url.port < 65536:
        raise InvalidInput.of("base_url", f"{base_url!r} has a port that is not in 1 to 65535")
    if "?" in base_url or "#" in base_url:
        raise InvalidInput.of("base_url", f"{base_url!r} must have no query and no fragment")
    path = url.path.rstrip("/")
    if "/api/v1/" in f"{path}/":
        raise InvalidInput.of("base_url", f"{base_url!r} must not include /api/v1")
    return str(url.copy_with(path=path or "/")).rstrip("/")
