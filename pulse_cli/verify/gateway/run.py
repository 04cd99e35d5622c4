"""Going through all policies of a gateway, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import httpx
from rich.console import RenderableType
from rich.text import Text
from websockets.exceptions import WebSocketException

from pulse_cli.errors import CheckFailed
from pulse_cli.output import plain_table
from pulse_cli.stack.gateway import LOGIN
from pulse_cli.verify.gateway import floods, sockets
from pulse_cli.verify.gateway.cases import PROTECTED, Case, cases
from pulse_cli.verify.gateway.expect import Seen, refused, saw, status
from pulse_cli.verify.gateway.subject import Subject, Token

PATIENCE = 20
"""How often a request is sent again when the gateway finds us too fast."""

METRICS = ("/metrics", "/stats/prometheus")
"""Where Kong and Envoy tell their metrics."""


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


@dataclass(frozen=True)
class Conformance:
    """What came of all policies."""

    outcomes: Sequence[Outcome]

    def as_dict(self) -> dict[str, Any]:
        """The outcomes as JSON."""
        return {
            "passed": self.failure() is None,
            **{verdict: self._count(verdict) for verdict in Verdict},
            "policies": [asdict(outcome) for outcome in self.outcomes],
        }

    def shown(self) -> RenderableType:
        """The outcomes for a terminal or a log."""
        styles = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.SKIP: "yellow"}
        return plain_table(
            ("POLICY", "PROMISED", "SEEN", "VERDICT"),
            [
                (
                    Text(one.name),
                    Text(one.promised),
                    Text(one.seen),
                    Text(one.verdict, style=styles[one.verdict]),
                )
                for one in self.outcomes
            ],
        )

    def failure(self) -> CheckFailed | None:
        """The error that ends the command when a policy does not hold."""
        broken = [one.name for one in self.outcomes if one.verdict is Verdict.FAIL]
        if not broken:
            return None
        count = f"{len(broken)} of {len(self.outcomes)} policies do not hold"
        return CheckFailed(f"{count}: {'; '.join(broken)}")

    def _count(self, verdict: Verdict) -> int:
        return sum(one.verdict is verdict for one in self.outcomes)


async def conformance(subject: Subject) -> Conformance:
    """Look at every policy. It takes a few seconds, and changes nothing."""
    mine, *others = islice(subject.sources(), 5)
    outcomes: list[Outcome] = []
    async with subject.client(mine) as client:
        for case in cases(subject):
            outcomes.append(await _judged(case.name, case.promised, _asked(client, case)))
    outcomes += await _sockets(subject, mine)
    outcomes += await _lists(subject)
    outcomes.append(await _metrics(subject))
    outcomes += await _rates(subject, others)
    return Conformance(outcomes)


async def _asked(client: httpx.AsyncClient, case: Case) -> Seen:
    """Send a case's request; when we are found too fast, which is no case here, wait."""
    for _ in range(PATIENCE):
        answer = await client.request(
            case.method, case.path, headers=case.headers, content=case.content()
        )
        if refused(429, floods.RATE_LIMITED)(answer) is not None:
            break
        await asyncio.sleep(1)
    wrong = case.expected(answer)
    return Seen(wrong or saw(answer), wrong is None)


async def _sockets(subject: Subject, source: str | None) -> list[Outcome]:
    async def opened(path: str, expected: int, token: Token | None, offered: bool) -> Seen:
        found = await sockets.opened(subject, source, path, token=token, offered=offered)
        return Seen(str(found), found == expected)

    table: tuple[tuple[str, str, str, int, Token | None, bool], ...] = (
        ("with a token", "opens", sockets.PATH, 101, "good", False),
        ("with a token among its protocols", "opens", sockets.PATH, 101, "good", True),
        ("without a token", "401", sockets.PATH, 401, None, False),
        ("with an expired token", "401", sockets.PATH, 401, "expired", False),
        ("with a forged token among its protocols", "401", sockets.PATH, 401, "forged", True),
        ("with a token for another", "403", sockets.PATH, 403, "misdirected", False),
        ("where there is none", "403", PROTECTED, 403, "good", False),
    )
    return [
        await _judged(f"websocket {name}", promised, opened(path, expected, token, offered))
        for name, promised, path, expected, token, offered in table
    ]


async def _lists(subject: Subject) -> list[Outcome]:
    found: list[Outcome] = []
    for listed, name in (("deny", "a denied address"), ("allow", "an address not allowed")):
        source = subject.outsider(listed)  # type: ignore[arg-type]
        promised = "403"
        if source is None:
            found.append(Outcome(name, promised, "no such address can ask from here", Verdict.SKIP))
            continue
        async with subject.client(source) as client:
            expected = refused(403, "gateway_forbidden")
            case = Case(name, promised, PROTECTED, expected, headers=subject.bearer())
            found.append(await _judged(name, promised, _asked(client, case)))
            if listed == "allow":
                health = Case(name, "200", floods.HARMLESS, status(200))
                found.append(await _judged(f"health for {name}", "200", _asked(client, health)))
    return found


async def _metrics(subject: Subject) -> Outcome:
    name, promised = "metrics", "for Prometheus"
    if subject.admin_port is None:
        return Outcome(name, promised, "their port cannot be reached from here", Verdict.SKIP)

    async def told() -> Seen:
        async with httpx.AsyncClient(trust_env=False) as client:
            base = f"http://{subject.host}:{subject.admin_port}"
            answers = [await client.get(base + path) for path in METRICS]
        well = any(one.status_code == 200 and "# TYPE " in one.text for one in answers)
        return Seen("200" if well else ", ".join(map(saw, answers)), well)

    return await _judged(name, promised, told())


async def _rates(subject: Subject, sources: Sequence[str | None]) -> list[Outcome]:
    found: list[Outcome] = []
    calm, *greedy = sources
    gateway = subject.gateway
    for name, path, rate, source in (
        ("rate of log-ins", LOGIN, gateway.logins, greedy[0]),
        ("rate of requests", floods.HARMLESS, gateway.requests_per_second, greedy[1]),
    ):
        promised = f"429 past {rate}/s"
        if rate > floods.MOST_RATE:
            reason = f"more than {floods.MOST_RATE}/s are not tried"
            found.append(Outcome(name, promised, reason, Verdict.SKIP))
            continue
        flood = floods.limited(subject, source, rate, path)
        found.append(await _judged(name, promised, flood))
        if source is not None:
            other = floods.heard(subject, calm, path)
            found.append(await _judged(f"{name} of another", "not refused", other))
        again = floods.heard_again(subject, source, path)
        found.append(await _judged(f"{name}, later", "heard again", again))
    return found


async def _judged(name: str, promised: str, look: Awaitable[Seen]) -> Outcome:
    try:
        seen = await look
    except (httpx.HTTPError, OSError, WebSocketException, TimeoutError) as error:
        seen = Seen(str(error) or type(error).__name__, False)
    return Outcome(name, promised, seen.said, Verdict.PASS if seen.well else Verdict.FAIL)
