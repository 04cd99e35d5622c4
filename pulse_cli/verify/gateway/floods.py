"""Limits of rate: what one client meets that asks too often, and what another meets meanwhile."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pulse_cli.stack.gateway import CLIENT_HEADER, LOGIN
from pulse_cli.verify.gateway.expect import RATE_LIMITED, Seen
from pulse_cli.verify.gateway.subject import TIMEOUT_SECONDS, Subject

MOST_RATE = 300
"""Higher limits are not tried: they would need more requests than a stack in use should be sent."""

HARMLESS = "/health/users"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
FLOOD_SECONDS = 4.0
"""How long a gateway is asked too often until it must have refused."""

PATIENCE_SECONDS = 5.0
"""Within which a client that was too fast must be heard again: windows are a second long."""


async def limited(
    subject: Subject, source: str | None, rate: int, path: str, behind: str | None = None
) -> Seen:
    """Ask faster than `rate` until refused, as the client `behind` a proxy if one is given.

    Each request says another X-Forwarded-For: a gateway that believed it would take them for as
    many clients. A client that has an address to itself must be heard `rate` times at once, and
    nobody more than twice as often in a second. Where so few are answered that none can be too
    many, nothing is told.
    """
    statuses: list[int] = []
    began = time.monotonic()
    past = 0.0
    while past < FLOOD_SECONDS:
        told = [f"10.1.{i // 250}.{i % 250}" for i in range(3 * rate)]
        forged = [{CLIENT_HEADER: f"{one}, {behind}" if behind else one} for one in told]
        answers = await _pipelined(subject, source, path, forged)
        statuses += _statuses(answers)
        past = time.monotonic() - began
        heard = len(statuses) - statuses.count(429)
        if heard > rate * (int(past) + 2):
            return Seen(f"{heard} heard in {past:.1f} s", False)
        if 429 in statuses:
            alone = source is not None
            return _refusal(answers, statuses.index(429), rate if alone else 1)
    too_slow = None if statuses else False
    return Seen(f"no more than {len(statuses)} answers in {past:.1f} s", too_slow)


async def apart(subject: Subject, proxy: str, clients: Sequence[str]) -> Seen:
    """Ask once for each client of a proxy, all at once."""
    told = [{CLIENT_HEADER: client} for client in clients]
    statuses = _statuses(await _pipelined(subject, proxy, HARMLESS, told))
    refused = statuses.count(429)
    return Seen(f"{refused} of {len(statuses)} refused", bool(statuses) and not refused)


async def heard_again(subject: Subject, source: str | None, path: str) -> Seen:
    """Wait until a client that was refused is heard again."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        seen = await heard(subject, source, path)
        if seen.well:
            return Seen(f"{seen.said} after {time.monotonic() - began:.1f} s", True)
        await asyncio.sleep(0.2)
    return Seen(f"refused for {PATIENCE_SECONDS:g} s on", False)


async def heard(subject: Subject, source: str | None, path: str) -> Seen:
    """Whether a client is not refused."""
    statuses = _statuses(await _pipelined(subject, source, path, [{}]))
    return Seen(
        ", ".join(map(str, statuses)) or "no answer", bool(statuses) and 429 not in statuses
    )


def _statuses(answers: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(answers)]


def _refusal(answers: bytes, before: int, least: int) -> Seen:
    """Tell of answers that have a refusal, after so many that were none, `least` as promised."""
    said = f"429 after {before} requests"
    refusal = answers.partition(b" 429 ")[2].lower()
    for part in ("retry-after: ", RATE_LIMITED):
        if part.encode() not in refusal:
            return Seen(f"{said}, without {part}", False)
    return Seen(said, before >= least)


async def _pipelined(
    subject: Subject, source: str | None, path: str, each: Sequence[Mapping[str, str]]
) -> bytes:
    """Send requests on one connection without waiting for answers; return the answers."""
    reader, writer = await asyncio.open_connection(
        subject.host, subject.port, local_addr=(source, 0) if source else None
    )
    answers = bytearray()
    try:
        for number, headers in enumerate(each, start=1):
            last = {"Connection": "close"} if number == len(each) else {}
            writer.write(_request(subject, path, {**headers, **last}))
        # A connection that ends before we have said all had its answers until then.
        with suppress(ConnectionError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while received := await reader.read(1 << 16):
                    answers += received
    finally:
        writer.close()
    return bytes(answers)


def _request(subject: Subject, path: str, headers: Mapping[str, str]) -> bytes:
    # Without a body, for one that is refused before its body was read ends the connection.
    lines = [
        f"{'POST' if path == LOGIN else 'GET'} {path} HTTP/1.1",
        f"Host: {subject.host}:{subject.port}",
        "Content-Length: 0",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
