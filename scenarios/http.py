"""One user's keep-alive HTTP/1.1 connection, as cheap as gevent allows.

Locust's own `FastHttpUser` builds URL, cookie, header and response objects around each request.
This client sends prepared bytes and lets geventhttpclient's compiled parser read the answer, which
leaves the generator a fraction of that CPU time; with the generator on the measured machine, that
time would be missing from the platform. It can also choose the address it sends from.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

from gevent import socket as gevent_socket
from geventhttpclient.response import HTTPParseError, HTTPResponse

CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` 0 when nothing did, with the reason in `failure`."""

    status: int
    body: bytes
    failure: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the platform did what was asked."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the parsed body. Raises `ValueError` when it is not JSON."""
        return json.loads(self.body)


class _Response(HTTPResponse):
    def body(self) -> bytes:
        return bytes(self._body_buffer)


class Connection:
    """A connection that is opened on the first request and again when the server closed it.

    `address` is an IPv4 address and a port, `source` the address to send from (None: the system's
    choice). `timeout` in seconds bounds the connect and each wait for bytes.
    """

    def __init__(
        self, address: tuple[str, int], *, source: str | None, timeout: float, headers: str
    ) -> None:
        self._address = address
        self._source = source
        self._timeout = timeout
        self._common = f"Host: {address[0]}:{address[1]}\r\n{headers}"
        self._socket: gevent_socket.socket | None = None

    def exchange(self, method: str, path: str, headers: str = "", body: bytes = b"") -> Answer:
        """Send one request and return its answer; a failure to connect is an answer too.

        `headers` are whole lines, each ended by CRLF. Nothing is sent twice: a request that may
        have reached the server is never repeated.
        """
        if body or method in {"POST", "PUT", "PATCH"}:
            headers += f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self._common}{headers}\r\n"
        try:
            connection = self._open()
            connection.sendall(head.encode("latin-1") + body)
            return self._receive(connection)
        except (OSError, HTTPParseError) as error:
            self.close()
            return Answer(0, b"", failure=_describe(error))
        except BaseException:
            self.close()  # the user was stopped in mid-request: the answer must not be read later
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> gevent_socket.socket:
        if self._socket is not None and not self._went_away(self._socket):
            return self._socket
        self.close()
        self._socket = gevent_socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(self._timeout)
        if self._source is not None:
            self._socket.bind((self._source, 0))
        self._socket.connect(self._address)
        return self._socket

    def _went_away(self, connection: gevent_socket.socket) -> bool:
        """Tell whether the server closed an idle connection (then a new one costs no request)."""
        connection.settimeout(0)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(self._timeout)
        return True  # end of stream, or bytes that nobody asked for

    def _receive(self, connection: gevent_socket.socket) -> Answer:
        response = _Response()
        while not response.message_complete:
            received = connection.recv(CHUNK)
            response.feed(received)
            if not received and not response.message_complete:
                raise ConnectionResetError("the connection was closed before the answer was whole")
        if response.should_close():
            self.close()
        return Answer(response.status_code, response.body())


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return f"{type(error).__name__}: {error}"
