"""Asking a component whether it is ready, in its own protocol and without a password."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """What a component said to its probe."""

    ready: bool
    said: str


def tcp(host: str, port: int) -> Answer:
    """Whether something accepts connections."""
    try:
        with socket.create_connection((host, port), TIMEOUT_SECONDS):
            return Answer(True, "accepts connections")
    except OSError as error:
        return _refused(error)


def amqp(host: str, port: int) -> Answer:
    """Send AMQP's protocol header; a broker that has booted answers with a method frame (1)."""
    answer = _ask(host, port, b"AMQP\x00\x00\x09\x01", 1)
    if isinstance(answer, Answer):
        return answer
    return Answer(answer == b"\x01", f"AMQP answer {answer!r}")


def redis(host: str, port: int) -> Answer:
    """Send PING; being asked to log in is as good as a pong, loading its data is not."""
    answer = _ask(host, port, b"PING\r\n", 128)
    if isinstance(answer, Answer):
        return answer
    said = answer.decode(errors="replace").strip()
    return Answer(said.startswith(("+PONG", "-NOAUTH")), said or "closed the connection")


def postgres(host: str, port: int) -> Answer:
    """Send a startup message, as pg_isready does: ready is being asked for a password (R)."""
    parameters = b"user\0pulse\0database\0postgres\0\0"
    message = struct.pack("!II", 8 + len(parameters), 3 << 16) + parameters
    answer = _ask(host, port, message, 512)
    if isinstance(answer, Answer):
        return answer
    if answer[:1] == b"R":
        return Answer(True, "accepts connections")
    fields = [f[1:].decode(errors="replace") for f in answer[5:].split(b"\0") if f[:1] == b"M"]
    return Answer(False, fields[0] if fields else "closed the connection")


def http(host: str, port: int, path: str) -> Answer:
    """GET a path; ready is 200."""
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace").strip()
    except HTTPException as error:
        return Answer(False, f"GET {path} answered no HTTP: {error!r}")
    except OSError as error:
        return _refused(error)
    finally:
        connection.close()
    return Answer(response.status == 200, f"GET {path} answered {response.status} {body}".strip())


def routes(host: str, port: int, services: Iterable[str]) -> Answer:
    """Whether the gateway reaches a live instance of every service."""
    for service in services:
        answer = http(host, port, f"/health/{service}")
        if not answer.ready:
            return answer
    return Answer(True, "reaches every service")


def _ask(host: str, port: int, message: bytes, length: int) -> bytes | Answer:
    try:
        with socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
            connection.sendall(message)
            return connection.recv(length)
    except OSError as error:
        return _refused(error)


def _refused(error: OSError) -> Answer:
    return Answer(False, (error.strerror or str(error)).lower())
