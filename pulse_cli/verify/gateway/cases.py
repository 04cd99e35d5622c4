"""The table: each policy of the gateway as a request and the answer that it promises.

Nothing here changes anything: tokens are of nobody, and bodies are such as no service accepts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

from pulse_cli.stack.gateway import (
    API,
    CORRELATION_HEADER,
    CORS_EXPOSED,
    CORS_HEADERS,
    DESCRIPTIONS,
    LOGIN,
    UNKNOWN_VERSION,
    VERSION_HEADER,
    Refusal,
)
from pulse_cli.stack.model import ROUTES, SERVICE_NAMES
from pulse_cli.verify.gateway import expect
from pulse_cli.verify.gateway.expect import Expect, by, every, header, reached, without
from pulse_cli.verify.gateway.subject import Subject, Token

PROTECTED = f"{API}/posts"
MOST_BYTES = 8 << 20
"""Larger bodies are not sent, however large they may be."""

STRANGER = "https://stranger.example"
GIVEN_ID = "pulse-verify-0123456789"


@dataclass(frozen=True)
class Case:
    """One request, and what is promised of its answer."""

    name: str
    promised: str
    path: str
    expected: Expect
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    """Bytes of the body; without one there is none."""
    chunked: bool = False

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Return the body: no JSON, so that no service accepts it."""
        if self.size is None:
            return None
        return _pieces(self.size) if self.chunked else b"x" * self.size


def cases(subject: Subject) -> Iterator[Case]:
    """Yield every case that is one request and its answer."""
    refusals = {refusal.status: refusal for refusal in subject.gateway.refusals()}
    yield from _routing(subject, refusals)
    yield from _tokens(subject, refusals)
    yield from _headers(subject, refusals)
    yield from _cors(subject, refusals)
    yield from _bodies(subject, refusals)
    yield from _descriptions()


def _routing(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Case]:
    for route in ROUTES:
        name = f"route {route.prefix}"
        yield Case(name, f"{route.service} answers", route.probe, reached, headers=subject.bearer())
        yield Case(f"{name}, no token", "401", route.probe, by(refusals[401]))
        for path in route.public:
            yield Case(f"public {path}", "needs no token", path, reached, "POST", size=1)
            below = by(refusals[401])
            yield Case(f"below {path}", "401", f"{path}/x", below, "POST", size=1)
    for service in SERVICE_NAMES:
        path = f"/health/{service}"
        yield Case(f"health of {service}", "200, no token", path, expect.status(200))
    for path in ("/", "/internal/import", "/metrics", "/health", "/health/nobody", API,
                 f"{API}/nothing", f"{PROTECTED}cript"):  # fmt: skip
        yield Case(f"no route {path}", "404", path, by(refusals[404]), headers=subject.bearer())
    for path in ("/api/v2/posts", "/api/v0", "/api/v11/feed?limit=1"):
        yield Case(f"version {path}", "404, told so", path, by(UNKNOWN_VERSION))
    for path in (f"{LOGIN}/%2e%2e/session", f"{API}//posts", f"{LOGIN}/../session"):
        yield Case(f"path {path}", "401, as it is read", path, by(refusals[401]))
    for path in (f"{LOGIN}%2f..%2fsession", f"{API}/posts%5c..%5c"):
        yield Case(f"path {path}", "400", path, expect.status(400))


def _tokens(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Case]:
    def case(name: str, headers: Mapping[str, str], status: int, path: str = PROTECTED) -> Case:
        expected = by(refusals[status])
        if status == 401:
            expected = every(expected, header("WWW-Authenticate"))
        return Case(f"token {name}", str(status), path, expected, headers=headers)

    bad: tuple[Token, ...] = ("expired", "endless", "forged", "foreign", "unsigned")
    for kind in bad:
        yield case(kind, subject.bearer(kind), 401)
    yield case("misdirected", subject.bearer("misdirected"), 403)
    yield case("none at all", {"Authorization": "Bearer nothing"}, 401)
    yield case("in the address", {}, 401, f"{PROTECTED}?access_token={subject.token()}")
    yield case("in the address, as jwt", {}, 401, f"{PROTECTED}?jwt={subject.token()}")
    yield case("in a cookie", {"Cookie": f"jwt={subject.token()}"}, 401)


def _headers(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Case]:
    smuggled = {**subject.bearer(), "X_User_Id": "1"}
    yield Case("header with an underscore", "400", PROTECTED, expect.status(400), headers=smuggled)
    given = {CORRELATION_HEADER: GIVEN_ID}
    kept = header(CORRELATION_HEADER, GIVEN_ID)
    for name, path, headers, expected in (
        ("of a service", PROTECTED, subject.bearer(), reached),
        ("of the gateway", PROTECTED, {}, by(refusals[401])),
        ("of no route", "/nothing", {}, by(refusals[404])),
    ):
        found = every(expected, header(CORRELATION_HEADER))
        yield Case(f"correlation id {name}", "is made", path, found, headers=headers)
        found = every(expected, kept)
        yield Case(f"correlation id {name}", "is kept", path, found, headers={**headers, **given})
        found = every(expected, header(VERSION_HEADER, API.rpartition("/")[2]))
        yield Case(f"version {name}", f"{VERSION_HEADER} is told", path, found, headers=headers)
        found = every(expected, expect.anonymous)
        yield Case(f"banners {name}", "no program is told", path, found, headers=headers)
        found = every(expected, header("X-Content-Type-Options", "nosniff"))
        yield Case(f"sniffing {name}", "is forbidden", path, found, headers=headers)


def _cors(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Case]:
    allow, exposed = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"
    asks = {"Access-Control-Request-Method": "PUT"}
    stranger = {"Origin": STRANGER, **asks}
    yield Case(
        "cors preflight of a stranger",
        "is not allowed",
        PROTECTED,
        without(allow),
        "OPTIONS",
        stranger,
    )
    hers = {"Origin": STRANGER, **subject.bearer()}
    yield Case(
        "cors answer to a stranger", "is not allowed", PROTECTED, without(allow), headers=hers
    )
    for origin in subject.gateway.cors_origins:
        expected = every(
            expect.status(200),
            header(allow, origin),
            expect.lists("Access-Control-Allow-Methods", "PUT"),
            expect.lists("Access-Control-Allow-Headers", *CORS_HEADERS),
        )
        asking = {"Origin": origin, **asks}
        yield Case(
            f"cors preflight of {origin}", "is allowed", PROTECTED, expected, "OPTIONS", asking
        )
        readable = every(header(allow, origin), expect.lists(exposed, *CORS_EXPOSED))
        mine = {"Origin": origin, **subject.bearer()}
        found = every(reached, readable)
        yield Case(f"cors answer to {origin}", "is readable", PROTECTED, found, headers=mine)
        found = every(by(refusals[401]), readable)
        mine = {"Origin": origin}
        yield Case(f"cors refusal to {origin}", "is readable", PROTECTED, found, headers=mine)


def _bodies(subject: Subject, refusals: Mapping[int, Refusal]) -> Iterator[Case]:
    most = subject.gateway.max_body_bytes
    if most > MOST_BYTES:
        return
    for chunked in (False, True):
        kind = "chunked " if chunked else ""
        headers = {**subject.bearer(), "Content-Type": "text/plain"}
        for size, promised, expected in (
            (most, "passes", reached),
            (most + 1, "413", by(refusals[413])),
            (3 * most, "413", every(by(refusals[413]), header(VERSION_HEADER))),
        ):
            name = f"{kind}body of {size} bytes"
            yield Case(name, promised, PROTECTED, expected, "POST", headers, size, chunked)


def _descriptions() -> Iterator[Case]:
    for description in DESCRIPTIONS:
        expected = expect.served(description.content_type)
        yield Case(f"description {description.file}", "200, no token", description.path, expected)


async def _pieces(size: int) -> AsyncIterator[bytes]:
    yield b"x" * (size // 2)
    yield b"x" * (size - size // 2)
