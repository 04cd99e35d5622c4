"""When to connect again and where to continue, written once for both iterators."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from pulse_sdk._flow import Flow, OpenSocket, RefreshTokens, Step, bearer
from pulse_sdk.contract.messaging import MessageFrame, SocketQuery
from pulse_sdk.errors import (
    AnswerError,
    ConnectionFailed,
    InvalidInput,
    NotAuthenticated,
    PulseError,
    answer_error,
)
from pulse_sdk.realtime._wire import read_frame

log = logging.getLogger("pulse_sdk.realtime")

_TOKEN_EXPIRED = 4401
"""The server's close code for a connection whose access token has ended."""

_LONGEST_HEARTBEAT = 3600.0


class Line:
    """What outlives the sockets of one iterator.

    Raises:
        InvalidInput: `after` is no position, or `heartbeat` is not within 0 and an hour.
    """

    def __init__(self, flow: Flow, after: int | None, heartbeat: float) -> None:
        self.closed = False
        self.pause = 0.0
        """Seconds to wait before the next attempt."""
        self.position = after
        """Where the next socket continues: that of the last message that was handed out."""
        try:
            SocketQuery(after=after)
        except ValidationError as error:
            raise InvalidInput.from_validation(error) from None
        if not 0 < heartbeat <= _LONGEST_HEARTBEAT:
            raise InvalidInput.of("heartbeat", "must be more than 0 and at most 3600 seconds")
        self._flow = flow
        self._heartbeat = heartbeat
        self._token: SecretStr | None = None
        self._token_expired = False
        self._established = False
        self._attempts = 0
        self._failures = 0
        self._opened_at = 0.0

    def __str__(self) -> str:
        state = "closed" if self.closed else "begun" if self._established else "not begun"
        return state if self.position is None else f"{state}, at position {self.position}"

    def attempt(self) -> Generator[Step, Any, Any]:
        """Try to open a socket: the socket, or None when to try again after `pause`.

        Raises:
            ConnectionFailed: There was never a connection, and the attempts are used up.
            AnswerError: The server refused in a way that trying again does not mend.
        """
        try:
            socket = yield from self._open()
        except PulseError as failure:
            self._failures += 1
            wait = self._wait(failure)
            if wait is None:
                raise
            log.debug("%s; next attempt in %.2f s", failure, wait)
            self.pause = wait
            return None
        if self._established:
            log.info("connected to %s again", self._flow.websocket_url)
        self._established = True
        self._opened_at = time.monotonic()
        self._attempts = 0
        return socket

    def _open(self) -> Generator[Step, Any, Any]:
        """A socket, with a new token where the server does not take the one there is."""
        if self._token_expired:
            self._token_expired = False
            yield from self._refresh()
        try:
            return (yield from self._handshake())
        except NotAuthenticated:
            if not (yield from self._refresh()):
                raise
        return (yield from self._handshake())

    def _refresh(self) -> Generator[Step, Any, bool]:
        token = self._token
        if token is None or not self._flow.credentials.can_replace(token):
            return False
        refreshed: bool = yield RefreshTokens(token)
        return refreshed

    def _handshake(self) -> Generator[Step, Any, Any]:
        url = self._flow.websocket_url
        after = "" if self.position is None else f"?after={self.position}"
        self._token = yield from self._flow.access_token()
        self._attempts += 1
        try:
            socket, self.position = yield OpenSocket(
                url + after,
                {**self._flow.options.headers, **bearer(self._token)},
                self._heartbeat,
                self._flow.options.timeout.connect,
            )
        except InvalidStatus as refusal:
            answer = refusal.response
            body = bytes(answer.body or b"")
            raise answer_error(
                answer.status_code, answer.headers, body, self._attempts
            ) from refusal
        except (OSError, WebSocketException) as error:
            reason = f"no connection to {url}: {str(error) or 'no answer in time'}"
            raise ConnectionFailed(reason, self._attempts) from error
        return socket

    def _wait(self, failure: PulseError) -> float | None:
        """Seconds until the next attempt, or None when this failure is final."""
        retries = self._flow.retries
        if not isinstance(failure, AnswerError | ConnectionFailed):
            return None
        if not self._established:
            return retries.wait(failure, self._failures)
        # Who has listened once wants to go on: nothing that may pass ends it, however long.
        asked = 0.0
        if isinstance(failure, AnswerError):
            if failure.status < 500 and failure.status != 429:
                return None
            asked = min(failure.retry_after or 0.0, retries.retry_after_cap)
        return max(asked, retries.backoff.delay(self._failures))

    def heard(self, data: str | bytes) -> BaseModel | None:
        """The frame; None when there was one like it, or only newer clients know its kind.

        Raises:
            UnreadableAnswer: It is no frame.
        """
        frame = read_frame(data)
        if isinstance(frame, MessageFrame):
            if self.position is not None and frame.position <= self.position:
                return None
            self.position = frame.position
        return frame

    def lost(self, end: ConnectionClosed) -> None:
        """Note that the connection broke; one that broke at once makes the next wait longer."""
        if self.closed:
            return
        backoff = self._flow.retries.backoff
        lasted = time.monotonic() - self._opened_at
        self._failures = self._failures + 1 if lasted < backoff.most else 1
        self._token_expired = end.rcvd is not None and end.rcvd.code == _TOKEN_EXPIRED
        self.pause = backoff.delay(self._failures)
        log.info("connection to %s lost: %s", self._flow.websocket_url, end)
