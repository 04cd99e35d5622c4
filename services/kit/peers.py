"""Calls to other services: a service token, a deadline, and the next instance when one is away."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler
from pydantic import BaseModel, ValidationError

from services.kit.auth import SERVICE_TOKEN_SECONDS, service_token
from services.kit.errors import ServiceError
from services.kit.observe import CORRELATION_HEADER, correlation_id
from services.kit.settings import Settings

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)

_CALL_SECONDS = 3.0
_PEERS_CHECK_SECONDS = 1.0
_ATTEMPTS = 2
_CONNECTIONS = 200


class Peers:
    """The other services, each a list of instances that are called in turn."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._directory = _Directory(settings.peers_file)
        self._turn = itertools.count()
        self._tokens: dict[str, tuple[str, float]] = {}

    async def call(
        self,
        callee: str,
        path: str,
        returns: type[R],
        *,
        body: BaseModel | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> R:
        """Ask another service (POST with a body, else GET); for calls that may be repeated.

        Raises:
            ServiceError: 503 when no instance answers in time or the answer is an error.
        """
        instances = self._directory.instances(callee)
        first = next(self._turn)
        for attempt in range(_ATTEMPTS):
            url = instances[(first + attempt) % len(instances)] + path
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    return returns.model_validate_json(await self._send(callee, url, body, query))
            except (aiohttp.ClientError, OSError, TimeoutError, ValidationError) as error:
                log.warning("%s %s failed: %r", callee, path, error)
        raise ServiceError.unavailable(callee)

    async def _send(
        self,
        callee: str,
        url: str,
        body: BaseModel | None,
        query: Mapping[str, str | int] | None,
    ) -> bytes:
        headers = {"Authorization": f"Bearer {self._token(callee)}"}
        if (current := correlation_id.get()) is not None:
            headers[CORRELATION_HEADER] = current
        data = None
        if body is not None:
            data = body.model_dump_json().encode()
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"
        async with self._session.request(
            method, url, data=data, params=query, headers=headers
        ) as response:
            response.raise_for_status()
            return await response.read()

    def _token(self, callee: str) -> str:
        token, renew_at = self._tokens.get(callee, ("", 0.0))
        if monotonic() >= renew_at:
            token = service_token(self._settings, callee)
            self._tokens[callee] = (token, monotonic() + SERVICE_TOKEN_SECONDS / 2)
        return token


class _Directory:
    """The peers file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._check_at = 0.0
        self._modified = 0
        self._instances: dict[str, list[str]] = {}

    def instances(self, service: str) -> list[str]:
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
            return self._instances[service]
        except KeyError:
            raise ServiceError.unavailable(service) from None


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
        yield Peers(settings, session)
