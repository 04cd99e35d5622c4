"""What the gateway is expected to answer: each tells what is wrong with an answer, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import httpx

from pulse_cli.stack.gateway import BANNERS, CORRELATION_HEADER, Refusal

Expect = Callable[[httpx.Response], str | None]


class Seen(NamedTuple):
    """What was seen of a policy, in a few words, and whether it was what is promised."""

    said: str
    well: bool | None
    """None when it cannot be told from here."""


PROBLEM = "application/problem+json"
RATE_LIMITED = "gateway_rate_limited"
TELLTALE = ("x-kong-", "x-envoy-", "kong-")
"""How headers begin that tell which gateway this is."""


def every(*expectations: Expect) -> Expect:
    """Expect all of these; the first that is not met is told."""

    def look(answer: httpx.Response) -> str | None:
        return next((wrong for one in expectations if (wrong := one(answer))), None)

    return look


def refused(status: int, code: str) -> Expect:
    """Expect a problem document of the gateway itself, with the correlation id of the answer."""

    def look(answer: httpx.Response) -> str | None:
        problem = document(answer)
        told = str(problem.get("correlation_id") or "")
        if (answer.status_code, problem.get("code")) != (status, code):
            return saw(answer)
        if answer.headers.get("content-type") != PROBLEM:
            return f"{saw(answer)} as {answer.headers.get('content-type')}"
        if problem.get("status") != status or not problem.get("title") or not problem.get("detail"):
            return f"{saw(answer)} with an incomplete problem document"
        if not told or told != answer.headers.get(CORRELATION_HEADER):
            return f"{saw(answer)} with correlation ids that differ"
        return None

    return look


def by(refusal: Refusal) -> Expect:
    """Expect this refusal."""
    return refused(refusal.status, refusal.code)


def reached(answer: httpx.Response) -> str | None:
    """Expect an answer of the service, whatever it says."""
    code = document(answer).get("code")
    mine = isinstance(code, str) and code.startswith("gateway_")
    return saw(answer) if mine or answer.status_code >= 500 else None


def served(content_type: str) -> Expect:
    """Expect 200 with a body of this type."""

    def look(answer: httpx.Response) -> str | None:
        given = answer.headers.get("content-type")
        well = answer.status_code == 200 and given == content_type and answer.content
        return None if well else f"{saw(answer)} as {given}"

    return look


def status(expected: int) -> Expect:
    """Expect this status."""
    return lambda answer: None if answer.status_code == expected else saw(answer)


def unlike(unexpected: int) -> Expect:
    """Expect any status but this."""
    return lambda answer: saw(answer) if answer.status_code == unexpected else None


def header(name: str, value: str | None = None) -> Expect:
    """Expect a header, with this value if one is given."""

    def look(answer: httpx.Response) -> str | None:
        found = answer.headers.get(name)
        if found is not None and value in (None, found):
            return None
        return f"{saw(answer)} with {name}: {found}" if found else f"{saw(answer)} without {name}"

    return look


def lists(name: str, *members: str) -> Expect:
    """Expect a header whose value, divided by commas, has these members."""

    def look(answer: httpx.Response) -> str | None:
        found = {part.strip().lower() for part in answer.headers.get(name, "").split(",")}
        missing = [member for member in members if member.lower() not in found]
        return f"{saw(answer)}, {name} without {', '.join(missing)}" if missing else None

    return look


def without(name: str) -> Expect:
    """Expect no such header."""
    return lambda answer: f"{name}: {answer.headers[name]}" if name in answer.headers else None


def anonymous(answer: httpx.Response) -> str | None:
    """Expect no header that tells of programs and their versions."""
    for name in answer.headers:
        if name in {banner.lower() for banner in BANNERS} or name.startswith(TELLTALE):
            return f"{name}: {answer.headers[name]}"
    return None


def document(answer: httpx.Response) -> dict[str, object]:
    """Return the JSON object of an answer, an empty one when it has none."""
    try:
        found = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def saw(answer: httpx.Response) -> str:
    """Say an answer in a few words."""
    code = document(answer).get("code")
    return f"{answer.status_code} {code}" if code else str(answer.status_code)
