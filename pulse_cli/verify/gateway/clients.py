"""Who the client is, and what it may: lists of addresses, trusted proxies, and rates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Literal

from pulse_cli.stack.gateway import CLIENT_HEADER, LOGIN
from pulse_cli.verify.gateway import floods
from pulse_cli.verify.gateway.cases import PROTECTED, Case
from pulse_cli.verify.gateway.expect import Expect, reached, refused, status
from pulse_cli.verify.gateway.outcome import Outcome, asked, judged, skipped
from pulse_cli.verify.gateway.subject import Subject

FORBIDDEN = refused(403, "gateway_forbidden")


async def lists(subject: Subject, mine: str | None) -> AsyncIterator[Outcome]:
    """Ask from addresses that the lists shut out, and say such an address from one they do not."""
    told: tuple[tuple[Literal["allow", "deny"], str], ...] = (
        ("deny", "a denied address"),
        ("allow", "an address not allowed"),
    )
    for listed, name in told:
        source = subject.outsider(listed)
        if source is None:
            yield skipped(name, "403", "no such address can ask from here")
            continue
        async with subject.client(source) as client:
            yield await asked(client, _case(subject, name, "403", FORBIDDEN))
            if listed == "allow":
                health = Case(f"health for {name}", "200", floods.HARMLESS, status(200))
                yield await asked(client, health)
        if mine is not None:
            async with subject.client(mine) as client:
                heard = f"{name} that a stranger tells"
                yield await asked(client, _case(subject, heard, "is not believed", reached, source))


async def proxies(subject: Subject) -> AsyncIterator[Outcome]:
    """Ask as a trusted proxy does, which tells its clients' addresses."""
    if not subject.gateway.trusted_proxies:
        return
    rate = subject.gateway.requests_per_second
    proxy, clients = subject.proxy(), subject.clients()
    ours, greedy = next(clients, None), next(clients, None)
    if proxy is None or ours is None or greedy is None:
        yield skipped("clients behind a proxy", "are told apart", "none can ask from here")
        return
    async with subject.client(proxy) as client:
        denied = next((str(one[0]) for one in subject.gateway.deny), None)
        if denied is not None:
            name = "a denied address behind a proxy"
            yield await asked(client, _case(subject, name, "403", FORBIDDEN, denied))
            name = "a denied address that a client tells its proxy"
            said = f"{denied}, {ours}"
            yield await asked(client, _case(subject, name, "is not believed", reached, said))
        name = "a client behind a proxy"
        yield await asked(client, _case(subject, name, "is let in", reached, ours))
    if rate > floods.MOST_RATE:
        yield _too_many("rate of clients behind a proxy", rate)
        return
    each = [ours, *islice(clients, 3 * rate - 1)]
    yield await judged(
        "rate of clients behind a proxy", "each its own", floods.apart(subject, proxy, each)
    )
    yield await judged(
        "rate of one behind a proxy",
        f"429 past {rate}/s",
        floods.limited(subject, proxy, rate, floods.HARMLESS, behind=greedy),
    )


async def rates(subject: Subject, sources: Sequence[str | None]) -> AsyncIterator[Outcome]:
    """Ask too often, from one address each, and meanwhile from another."""
    calm, *greedy = sources
    gateway = subject.gateway
    for name, path, rate, source in (
        ("rate of log-ins", LOGIN, gateway.logins, greedy[0]),
        ("rate of requests", floods.HARMLESS, gateway.requests_per_second, greedy[1]),
    ):
        if rate > floods.MOST_RATE:
            yield _too_many(name, rate)
            continue
        flood = floods.limited(subject, source, rate, path)
        yield await judged(name, f"429 past {rate}/s", flood)
        if source is not None:
            other = floods.heard(subject, calm, path)
            yield await judged(f"{name} of another", "not refused", other)
        again = floods.heard_again(subject, source, path)
        yield await judged(f"{name}, later", "heard again", again)


def _case(
    subject: Subject, name: str, promised: str, expected: Expect, said: str | None = None
) -> Case:
    headers = subject.bearer() | ({CLIENT_HEADER: said} if said else {})
    return Case(name, promised, PROTECTED, expected, headers=headers)


def _too_many(name: str, rate: int) -> Outcome:
    reason = f"more than {floods.MOST_RATE}/s are not tried"
    return skipped(name, f"429 past {rate}/s", reason)
