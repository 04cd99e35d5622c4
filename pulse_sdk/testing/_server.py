"""Requests to the fake: who calls, which endpoint answers, what is scripted, what was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing import _events, _messaging, _notifications, _posts, _social, _users
from pulse_sdk.testing._changes import Changes
from pulse_sdk.testing._kit import Endpoint, Received, refused
from pulse_sdk.testing._world import Access, World

SOCKET = "GET /api/v1/ws"
"""What a handshake of the WebSocket is called."""

_NOBODY = UUID(int=0)


def _upgrade(world: World, got: Received[None, None]) -> None:
    """Refuse a plain request for the WebSocket."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    detail = "This path speaks WebSocket; connect with an upgrade."
    raise Refusal(426, "upgrade_required", detail, headers=headers)


ENDPOINTS = (
    *_users.ENDPOINTS,
    *_posts.ENDPOINTS,
    *_social.ENDPOINTS,
    *_messaging.ENDPOINTS,
    *_notifications.ENDPOINTS,
    *_events.ENDPOINTS,
    Endpoint("GET", "/api/v1/ws", _upgrade),
)

_OPERATIONS = {endpoint.operation for endpoint in ENDPOINTS}
_PREFIXES = {endpoint.path.split("/")[3] for endpoint in ENDPOINTS}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that the fake was sent, and the status of its answer."""

    operation: str
    """Such as `GET /api/v1/posts/{post_id}`; the path itself when nothing is there."""
    path: str
    query: dict[str, str]
    json: Any = field(repr=False)
    """The body as it was parsed, None without one. It may hold a password, so `repr` hides it."""
    headers: dict[str, str] = field(repr=False)
    """By lower-case name, without the access token."""
    by: UUID | None
    """Who sent it, None for nobody known."""
    status: int | None
    """None when the connection failed, as scripted."""


@dataclass(slots=True)
class Script:
    """What happens to the next requests of an operation."""

    operation: str
    times: int
    outcome: httpx.Response | httpx.TransportError
    carried_out: bool


class Server:
    """Answers requests."""

    def __init__(self, world: World, changes: Changes) -> None:
        self.sent: list[Sent] = []
        self._world = world
        self._changes = changes
        self._scripts: list[Script] = []

    def script(
        self,
        operation: str,
        times: int,
        outcome: httpx.Response | httpx.TransportError,
        *,
        carried_out: bool = False,
    ) -> None:
        """Have the next requests of an operation end otherwise."""
        self._scripts.append(Script(checked(operation), times, outcome, carried_out))

    def scripted(self, operation: str) -> Script | None:
        """What is scripted for this request of an operation, which uses it up."""
        for script in self._scripts:
            if script.operation == operation:
                script.times -= 1
                if script.times == 0:
                    self._scripts.remove(script)
                return script
        return None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, as `httpx.MockTransport` asks."""
        with self._changes.lock:
            path = _path(request)
            access = self.access(request.headers)
            endpoint, parameters = _found(request.method, path)
            operation = endpoint.operation if endpoint else f"{request.method} {path}"
            script = self.scripted(operation)
            answer: httpx.Response | httpx.TransportError
            if script is None or script.carried_out:
                answer = self._answer(request, path, endpoint, parameters, access)
            if script is not None:
                answer = _fresh(script.outcome)
            self.note(operation, request, path, access, answer)
        self._changes.tell()
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def access(self, headers: httpx.Headers) -> Access | None:
        """Whom the access token of a request stands for, None when it is not good."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        access = self._world.access.get(token.strip())
        if scheme.lower() != "bearer" or access is None:
            return None
        return access if access.expires_at > self._world.now() else None

    def note(
        self,
        operation: str,
        request: httpx.Request,
        path: str,
        access: Access | None,
        answer: httpx.Response | httpx.TransportError,
    ) -> None:
        """Keep what was sent."""
        headers = {name: v for name, v in request.headers.items() if name != "authorization"}
        try:
            body = json.loads(request.content) if request.content else None
        except ValueError:
            body = None
        sent = Sent(
            operation=operation,
            path=path,
            query=dict(request.url.params),
            json=body,
            headers=headers,
            by=access.user_id if access else None,
            status=answer.status_code if isinstance(answer, httpx.Response) else None,
        )
        self.sent.append(sent)

    def _answer(
        self,
        request: httpx.Request,
        path: str,
        endpoint: Endpoint | None,
        parameters: dict[str, str],
        access: Access | None,
    ) -> httpx.Response:
        correlation_id = request.headers.get("X-Correlation-ID") or str(self._world.new_id())
        try:
            if endpoint is None:
                raise _nothing_there(request, path, access)
            if access is None and not endpoint.public:
                raise unauthorized(request)
            received: Received[Any, Any] = Received(
                caller=access.user_id if access else _NOBODY,
                session_id=access.session_id if access else _NOBODY,
                query=endpoint.read_query(request),
                body=endpoint.read_body(request),
                path=parameters,
                headers=request.headers,
            )
            answer = endpoint.answer(self._world, received)
        except Refusal as refusal:
            answer = refused(refusal, correlation_id)
        answer.headers["X-Correlation-ID"] = correlation_id
        return answer


def _path(request: httpx.Request) -> str:
    """The path, without what a client's `base_url` may have in front."""
    path = request.url.raw_path.decode().partition("?")[0]
    _, prefix, below = path.partition("/api/v1/")
    return f"{prefix}{below}" or path


def checked(operation: str) -> str:
    """An operation that there is.

    Raises:
        ValueError: There is none, with those whose names are similar.
    """
    if operation not in _OPERATIONS:
        similar = get_close_matches(operation, _OPERATIONS, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, similar))}?" if similar else ""
        raise ValueError(f"there is no operation {operation!r}{hint}")
    return operation


def unauthorized(request: httpx.Request) -> Refusal:
    """401, as the gateway gives it."""
    challenge = f'Bearer realm="{request.url.copy_with(query=None)}"'
    if request.headers.get("Authorization", "").startswith("Bearer "):
        challenge += ', error="invalid_token"'
    headers = {"WWW-Authenticate": challenge}
    detail = "Send a good access token as Bearer."
    return Refusal(401, "gateway_unauthorized", detail, headers=headers)


def _found(method: str, path: str) -> tuple[Endpoint | None, dict[str, str]]:
    for endpoint in ENDPOINTS:
        if endpoint.method == method:
            parameters = endpoint.matches(path)
            if parameters is not None:
                return endpoint, parameters
    return None, {}


def _nothing_there(request: httpx.Request, path: str, access: Access | None) -> Refusal:
    parts = path.split("/")
    if parts[:3] != ["", "api", "v1"] or parts[3:4] == [] or parts[3] not in _PREFIXES:
        return Refusal(404, "gateway_no_route", "No service answers at this path.")
    if access is None:
        return unauthorized(request)
    allowed = sorted({e.method for e in ENDPOINTS if e.matches(path) is not None})
    if allowed:
        headers = {"Allow": ",".join(allowed)}
        wrong = HTTPStatus.METHOD_NOT_ALLOWED
        return Refusal(wrong, "method_not_allowed", wrong.description, headers=headers)
    nowhere = HTTPStatus.NOT_FOUND
    return Refusal(nowhere, "no_such_path", nowhere.description)


def _fresh(outcome: httpx.Response | httpx.TransportError) -> httpx.Response | httpx.TransportError:
    """A response that was read cannot be read again."""
    if isinstance(outcome, httpx.Response):
        return httpx.Response(outcome.status_code, headers=outcome.headers, content=outcome.content)
    return outcome
