"""Calls to other services: a service token, a deadline, other instances, and a circuit breaker.

A breaker judges whole calls, not attempts: one instance of two being away is no reason to stop
calling the other.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler
from pydantic import BaseModel, ValidationError

from pulse_sdk.backoff import Backoff
from pulse_sdk.breaker import Breaker, Outcome
from services.kit.auth import SERVICE_TOKEN_SECONDS, service_token
from services.kit.errors import ServiceError
from services.kit.names import PREFIX, Names
from services.kit.observe import (
    BREAKER,
    CORRELATION_HEADER,
    DEGRADED_HEADER,
    PEER_CALLS,
    correlation_id,
    degraded_elsewhere,
)
from services.kit.resilience import DEADLINE_HEADER, within
from services.kit.settings import Settings
from services.kit.tracing import TRACE_HEADER, begin, exporting, traceparent

log = logging.getLogger(__name__)

R = TypeVar("R")

CALL_SECONDS = 3.0
"""What a call may take with all its attempts, unless it says less."""

_PEERS_CHECK_SECONDS = 1.0
_ATTEMPTS = 3
_BACKOFF = Backoff(first=0.05, most=0.5)
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValidationError)
_CONNECTIONS = 200


class _Refused(Exception):
    """The callee lives and says that the call is wrong (4xx): trying again would not mend it."""


class Peers:
    """The other services, each a list of instances that are called in turn."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, names: Names) -> None:
        self._settings = settings
        self._session = session
        self._directory = _Directory(settings.peers_file, names)
        self._turn = itertools.count()
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lines: dict[str, _Line] = {}

    async def call(
        self,
        callee: str,
        path: str,
        read: Callable[[bytes], R],
        *,
        body: BaseModel | bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> R:
        """Ask another service (POST with a body, else GET); for calls that may be repeated.

        `read` makes of the answer what is wanted, as a model's `model_validate_json` does. A body
        of bytes is JSON already.

        It takes `seconds` at most with all its attempts, less when the caller's deadline is nearer,
        and no time at all while the callee's breaker is open.

        Raises:
            ServiceError: 503 when no instance answers in time or the answer is an error; 504 when
                the caller's deadline is over.
        """
        allowed = within(seconds)
        line = self._lines.get(callee)
        if line is None:
            line = self._lines[callee] = _Line(callee)
        ticket = line.breaker.begin(monotonic())
        if ticket is None:
            line.count("open")
            raise ServiceError.unavailable(callee)
        outcome = Outcome.UNKNOWN
        try:
            answer = await self._attempts(callee, path, read, body, query, allowed)
            outcome = Outcome.WELL
            return answer
        except _Refused:
            outcome = Outcome.WELL
            raise ServiceError.unavailable(callee) from None
        except TimeoutError:
            if allowed == seconds:  # else it is the caller who had no time
                outcome = Outcome.FAILED
            raise ServiceError.unavailable(callee) from None
        except _FAILURES:
            outcome = Outcome.FAILED
            raise ServiceError.unavailable(callee) from None
        finally:
            line.breaker.end(ticket, outcome, monotonic())
            line.count(outcome.value)

    async def _attempts(
        self,
        callee: str,
        path: str,
        read: Callable[[bytes], R],
        body: BaseModel | bytes | None,
        query: Mapping[str, str | int] | None,
        seconds: float,
    ) -> R:
        """Try one instance after the other, then all again after a wait."""
        deadline = monotonic() + seconds
        instances = await self._directory.instances(callee)
        first = next(self._turn)
        for attempt in itertools.count(1):
            url = instances[(first + attempt) % len(instances)] + path
            left = deadline - monotonic()
            # An instance that hangs must leave time for another one.
            share = left / 2 if attempt < len(instances) else left
            try:
                async with asyncio.timeout(share):
                    raw = await self._send(callee, url, body, query, share)
                return read(raw)
            except _FAILURES as error:
                log.warning("%s %s failed: %r", callee, path, error)
                wait = 0.0 if attempt < len(instances) else _BACKOFF.delay(attempt)
                if attempt >= _ATTEMPTS or monotonic() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError  # the count has no end

    async def _send(
        self,
        callee: str,
        url: str,
        body: BaseModel | bytes | None,
        query: Mapping[str, str | int] | None,
        seconds: float,
    ) -> bytes:
        headers = {
            "Authorization": f"Bearer {self._token(callee)}",
            DEADLINE_HEADER: str(int(seconds * 1000)),
        }
        if (current := correlation_id.get()) is not None:
            headers[CORRELATION_HEADER] = current
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else body.model_dump_json().encode()
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"
        parent = traceparent.get()
        span = begin(f"{method} {callee}", "CLIENT", parent) if exporting() else None
        if (trace := traceparent.get()) is not None:
            headers[TRACE_HEADER] = trace
        status = 0
        try:
            async with self._session.request(
                method, url, data=data, params=query, headers=headers
            ) as response:
                status = response.status
                if 400 <= status < 500:
                    log.error("%s refuses %s: %d", callee, url, status)
                    raise _Refused
                response.raise_for_status()
                if (lacking := response.headers.get(DEGRADED_HEADER)) is not None:
                    degraded_elsewhere(lacking)
                return await response.read()
        finally:
            if span is not None:
                attributes: dict[str, str | int] = {
                    "server.address": callee,
                    "http.response.status_code": status,
                }
                span.end(attributes, failed=not 200 <= status < 400)

    def _token(self, callee: str) -> str:
        token, renew_at = self._tokens.get(callee, ("", 0.0))
        if monotonic() >= renew_at:
            token = service_token(self._settings, callee)
            self._tokens[callee] = (token, monotonic() + SERVICE_TOKEN_SECONDS / 2)
        return token


class _Line:
    """What is known of one callee."""

    def __init__(self, callee: str) -> None:
        self._callee = callee
        self._counters: dict[str, Any] = {}
        breaker = self.breaker = Breaker()
        BREAKER.labels(callee).set_function(lambda: breaker.state.value)

    def count(self, outcome: str) -> None:
        counter = self._counters.get(outcome)
        if counter is None:
            counter = self._counters[outcome] = PEER_CALLS.labels(self._callee, outcome)
        counter.inc()


class _Directory:
    """The peers file, read again when it changes."""

    def __init__(self, path: Path, names: Names) -> None:
        self._names = names
        self._path = path
        self._check_at = 0.0
        self._modified = 0
        self._instances: dict[str, list[str]] = {}

    async def instances(self, service: str) -> list[str]:
        if monotonic() >= self._check_at:
            self._check_at = monotonic() + _PEERS_CHECK_SECONDS
            try:
                modified = self._path.stat().st_mtime_ns
                if modified != self._modified:
                    self._instances = orjson.loads(self._path.read_bytes())
                    self._modified = modified
            except (OSError, ValueError) as error:
                log.warning("the peers file cannot be read: %r", error)
        try:
            listed = self._instances[service]
        except KeyError:
            raise ServiceError.unavailable(service) from None
        found: list[str] = []
        for url in listed:
            found += await self._names.urls(url) if url.startswith(PREFIX) else (url,)
        return found


class _Connector(aiohttp.TCPConnector):
    """Connects without being cancelled half-way.

    A cancelled connect makes uvloop and aiohttp both close the socket, the second time when its
    number may belong to somebody else's (uvloop issue 653).
    """

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the overridden method has it
    ) -> ResponseHandler:
        connecting = asyncio.ensure_future(super()._create_connection(req, traces, timeout))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close_unused)
            raise


def _close_unused(connecting: asyncio.Future[ResponseHandler]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


@asynccontextmanager
async def open_peers(settings: Settings) -> AsyncIterator[Peers]:
    """Open the HTTP client and close it in the end."""
    connector = _Connector(limit=_CONNECTIONS, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=None)  # each call has its own deadline
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        names = Names()
        try:
            yield Peers(settings, session, names)
        finally:
            await names.close()
