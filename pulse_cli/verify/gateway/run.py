"""Going through all policies of a gateway, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import httpx
from rich.console import RenderableType
from rich.text import Text

from pulse_cli.errors import CheckFailed
from pulse_cli.output import plain_table
from pulse_cli.verify.gateway import clients, sockets
from pulse_cli.verify.gateway.cases import PROTECTED, cases
from pulse_cli.verify.gateway.expect import Seen, saw
from pulse_cli.verify.gateway.odd import odd
from pulse_cli.verify.gateway.outcome import Outcome, Verdict, asked, asked_oddly, judged, skipped
from pulse_cli.verify.gateway.subject import Subject, Token

ASKING = 8
"""Addresses that take turns, so that none asks too often."""

METRICS = ("/metrics", "/stats/prometheus")
"""Where Kong and Envoy tell their metrics."""


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
    mine, *others = islice(subject.sources(), 4 + ASKING)
    outcomes: list[Outcome] = []
    async with AsyncExitStack() as asking:
        each = [await asking.enter_async_context(subject.client(one)) for one in others[3:]]
        for client, case in zip(cycle(each), cases(subject)):
            outcomes.append(await asked(client, case))
    for source, request in zip(cycle(others[3:]), odd(subject)):
        outcomes.append(await asked_oddly(subject, source, request))
    outcomes += await _sockets(subject, mine)
    outcomes += [one async for one in clients.lists(subject, mine)]
    outcomes += [one async for one in clients.proxies(subject)]
    outcomes.append(await _metrics(subject))
    outcomes += [one async for one in clients.rates(subject, others[:3])]
    return Conformance(outcomes)


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
        await judged(f"websocket {name}", promised, opened(path, expected, token, offered))
        for name, promised, path, expected, token, offered in table
    ]


async def _metrics(subject: Subject) -> Outcome:
    name, promised = "metrics", "for Prometheus"
    if subject.admin_port is None:
        return skipped(name, promised, "their port cannot be reached from here")

    async def told() -> Seen:
        async with httpx.AsyncClient(trust_env=False) as client:
            base = f"http://{subject.host}:{subject.admin_port}"
            answers = [await client.get(base + path) for path in METRICS]
        well = any(one.status_code == 200 and "# TYPE " in one.text for one in answers)
        return Seen("200" if well else ", ".join(map(saw, answers)), well)

    return await judged(name, promised, told())
