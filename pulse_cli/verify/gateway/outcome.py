"""What came of one policy, and how it is found out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import httpx
from websockets.exceptions import WebSocketException

from pulse_cli.verify.gateway.cases import Case
from pulse_cli.verify.gateway.expect import RATE_LIMITED, Expect, Seen, refused, saw
from pulse_cli.verify.gateway.odd import Odd, ask
from pulse_cli.verify.gateway.subject import Subject

PATIENCE = 20
"""How often a request is sent again when the gateway finds us too fast."""

LOST = 5
"""How often an odd request is sent again that had no answer."""


class Verdict(StrEnum):
    """What came of a policy."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SKIP = "skip"
    """This stack is not set up so that it could be seen from here."""


@dataclass(frozen=True)
class Outcome:
    """One policy, what it promises, and what was seen."""

    name: str
    promised: str
    seen: str
    verdict: Verdict


async def judged(name: str, promised: str, look: Awaitable[Seen]) -> Outcome:
    """Look, and tell whether it was as promised; what breaks on the way was not."""
    try:
        seen = await look
    except (httpx.HTTPError, OSError, WebSocketException, TimeoutError) as error:
        seen = Seen(str(error) or type(error).__name__, False)
    verdict = {True: Verdict.PASS, False: Verdict.FAIL, None: Verdict.SKIP}[seen.well]
    return Outcome(name, promised, seen.said, verdict)


def skipped(name: str, promised: str, reason: str) -> Outcome:
    """Tell why a policy was not looked at."""
    return Outcome(name, promised, reason, Verdict.SKIP)


async def asked(client: httpx.AsyncClient, case: Case) -> Outcome:
    """Send a case's request."""

    def send() -> Awaitable[httpx.Response]:
        return client.request(case.method, case.path, headers=case.headers, content=case.content())

    return await judged(case.name, case.promised, _answered(send, case.expected))


async def asked_oddly(subject: Subject, source: str | None, request: Odd) -> Outcome:
    """Send an odd request.

    Who closes a connection before all was read may take the answer with it: it is asked again.
    """

    async def send() -> httpx.Response:
        for _ in range(LOST):
            with suppress(ConnectionError):
                return await ask(subject, source, request.sent)
        return await ask(subject, source, request.sent)

    return await judged(request.name, request.promised, _answered(send, request.expected))


async def _answered(send: Callable[[], Awaitable[httpx.Response]], expected: Expect) -> Seen:
    """Send a request; when we are found too fast, which is no case here, wait."""
    for _ in range(PATIENCE):
        answer = await send()
        if refused(429, RATE_LIMITED)(answer) is not None:
            break
        await asyncio.sleep(1)
    wrong = expected(answer)
    return Seen(wrong or saw(answer), wrong is None)
