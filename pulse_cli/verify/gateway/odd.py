"""Requests that no client library sends: what one gateway takes the other must take alike.

Where two programs read one request differently, something can be hidden from one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx

from pulse_cli.stack.gateway import METHODS, MOST_HEAD_BYTES, MOST_HEADERS, Refusal
from pulse_cli.verify.gateway.cases import PROTECTED
from pulse_cli.verify.gateway.expect import Expect, by, every, header, reached, unlike
from pulse_cli.verify.gateway.subject import TIMEOUT_SECONDS, Subject

HOST = "Host: gateway"
CHUNKED = "Transfer-Encoding: chunked"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n"


class Odd(NamedTuple):
    """One request as it is sent, and what is promised of its answer."""

    name: str
    promised: str
    expected: Expect
    sent: bytes


def odd(subject: Subject) -> Iterator[Odd]:
    """Yield every such request."""
    refusals = {refusal.status: refusal for refusal in subject.gateway.refusals()}
    yield from _heads(subject, refusals)
    yield from _lines(subject, refusals)
    yield from _bodies(subject, refusals)
    for name, sent in (("HTTP/2 without TLS", HTTP2), ("TLS where there is none", TLS)):
        yield Odd(name, "400", by(refusals[400]), sent)


async def ask(subject: Subject, source: str | None, sent: bytes) -> httpx.Response:
    """Send bytes and return the answer to them.

    Raises:
        ConnectionError, TimeoutError: there was none.
    """
    reader, writer = await asyncio.open_connection(
        subject.host, subject.port, local_addr=(source, 0) if source else None
    )
    try:
        writer.write(sent)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                raise ConnectionError("the connection was closed without an answer") from error
            line, *fields = head.decode("latin-1").split("\r\n")
            named = (one.partition(":") for one in fields if one)
            headers = httpx.Headers([(name, value.strip()) for name, _, value in named])
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
    finally:
        writer.close()
    return httpx.Response(int(line.split(" ", 2)[1]), headers=headers, content=body)


def _heads(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Odd]:
    token = "Authorization: {Authorization}".format(**subject.bearer())
    passes = every(reached, unlike(400))
    for name, refusal, headers in (
        ("two tokens", 400, [HOST, token, "Authorization: Bearer x"]),
        ("one token twice", 400, [HOST, token, token]),
        ("no Host", 400, [token]),
        ("an empty Host", 400, ["Host:", token]),
        ("two Hosts", 400, [HOST, "Host: another", token]),
        ("a Host with a blank", 400, ["Host: a b", token]),
        ("a header with NUL", 400, [HOST, token, "X-A: a\0b"]),
        ("a header with a control", 400, [HOST, token, "X-A: a\x01b"]),
        ("a header's name with a blank", 400, [HOST, token, "X A: b"]),
        ("a header's name with an accent", 400, [HOST, token, "Xé: b"]),
        ("a header without a name", 400, [HOST, token, ": b"]),
        ("an upgrade to nothing known", 403, [HOST, token, "Connection: upgrade", "Upgrade: x"]),
        ("a long header", None, [HOST, token, f"X-A: {'a' * (MOST_HEAD_BYTES // 2)}"]),
        ("too long a header", 431, [HOST, token, f"X-A: {'a' * (MOST_HEAD_BYTES * 3 // 2)}"]),
        ("headers too long together", 431,
         [HOST, token, *(f"X-{i}: {'a' * (MOST_HEAD_BYTES // 5)}" for i in range(6))]),
        ("many headers", None, [HOST, token, *(f"X-{i}: a" for i in range(MOST_HEADERS - 10))]),
        ("too many headers", 431, [HOST, token, *(f"X-{i}: a" for i in range(2 * MOST_HEADERS))]),
    ):  # fmt: skip
        expected = passes if refusal is None else by(refusals[refusal])
        sent = _request(f"GET {PROTECTED} HTTP/1.1", headers)
        yield Odd(name, str(refusal or "passes"), expected, sent)


def _lines(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Odd]:
    headers = [HOST, "Authorization: {Authorization}".format(**subject.bearer())]
    other = every(by(refusals[405]), header("Allow", ", ".join(METHODS)))
    long = "a" * MOST_HEAD_BYTES
    for name, promised, expected, line in (
        ("HTTP/1.0", "passes", reached, f"GET {PROTECTED} HTTP/1.0"),
        ("a long address", "passes", every(reached, unlike(400)),
         f"GET {PROTECTED}?limit=1&x={long[::2]} HTTP/1.1"),
        ("too long an address", "431", by(refusals[431]), f"GET {PROTECTED}?{long} HTTP/1.1"),
        *((f"method {one}", "405", other, f"{one} {PROTECTED} HTTP/1.1")
          for one in ("TRACE", "PROPFIND", "BREW")),
        *((f"path {one!r}", "400", by(refusals[400]), f"GET {PROTECTED}/{one} HTTP/1.1")
          for one in ("a\0b", "a%00b", "a b", "a\tb", "é", "%zz", "a%2", "#here")),
        ("path that begins nowhere", "400", by(refusals[400]),
         f"GET {PROTECTED.lstrip('/')} HTTP/1.1"),
    ):  # fmt: skip
        yield Odd(name, promised, expected, _request(line, headers))


def _bodies(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Odd]:
    """Bodies whose end could be found in two places, or nowhere."""
    headers = [HOST, "Authorization: {Authorization}".format(**subject.bearer())]
    whole = "1\r\nx\r\n0\r\n\r\n"
    for name, more, body in (
        ("a length and chunks", ["Content-Length: 6", CHUNKED], "0\r\n\r\nX"),
        ("chunks and a length", [CHUNKED, "Content-Length: 6"], "0\r\n\r\nX"),
        ("one length twice", ["Content-Length: 1", "Content-Length: 1"], "x"),
        ("two lengths", ["Content-Length: 1", "Content-Length: 2"], "xx"),
        ("a list of lengths", ["Content-Length: 1, 1"], "x"),
        ("a length with a sign", ["Content-Length: +1"], "x"),
        ("a length below nothing", ["Content-Length: -1"], "x"),
        ("a length beyond counting", [f"Content-Length: {'9' * 30}"], "x"),
        ("an unknown coding", ["Transfer-Encoding: x"], whole),
        ("another coding before chunks", ["Transfer-Encoding: gzip, chunked"], whole),
        ("chunks twice", [CHUNKED, CHUNKED], whole),
        ("chunks, after a control", ["Transfer-Encoding: \x0bchunked"], whole),
        ("chunks, with a blank before the colon", ["Transfer-Encoding : chunked"], whole),
        ("a chunk of no size", [CHUNKED], "zz\r\nx\r\n0\r\n\r\n"),
        ("a chunk of a negative size", [CHUNKED], "-1\r\nx\r\n0\r\n\r\n"),
        ("a chunk beyond counting", [CHUNKED], f"{'f' * 17}\r\nx\r\n0\r\n\r\n"),
    ):
        sent = _request(f"POST {PROTECTED} HTTP/1.1", [*headers, *more], body)
        yield Odd(f"body of {name}", "400", by(refusals[400]), sent)


def _request(line: str, headers: list[str], body: str = "") -> bytes:
    return "\r\n".join((line, *headers, "", body)).encode()
