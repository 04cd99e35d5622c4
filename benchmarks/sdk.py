"""What the client costs beside httpx and pydantic alone, which it is made of.

`python benchmarks/sdk.py` needs no stack. It measures how long the imports take, each in a process
of its own, and the CPU time of calls against a small server in another process, each beside the
same call with a bare `httpx.Client` whose answer pydantic parses. Both are measured in turns
(A B B A …); printed are the median over the rounds, their range, and the ratio of the medians. The
exit code is 3 when a limit is missed.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

IMPORT_LIMIT = 1.15
CALL_LIMIT = 1.25
IMPORTS = 20
ROUNDS = 200
CALLS = 20
"""In one round. Short rounds meet the same noise on both sides."""

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"  # noqa: S105 - of nobody
ID = UUID(int=1)


@dataclass(frozen=True)
class Case:
    """The client's way and the bare one; each gives what one round of it cost."""

    name: str
    unit: str
    ours: Callable[[], float]
    bare: Callable[[], float]
    rounds: int
    limit: float


def imported(statement: str) -> float:
    """CPU ms that an import takes in a new process."""
    program = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return float(out.stdout) * 1e3


def per_call(call: Callable[[], object]) -> float:
    """CPU µs of this process for each of some calls."""
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - began) / CALLS * 1e6


async def serve() -> None:
    """Answer every request with a post, or a page of 20, until standard input ends."""
    from pulse_sdk.contract.posts import Post
    from pulse_sdk.contract.social import FeedPage

    post = Post.model_validate(
        {
            **{"id": ID, "author_id": ID, "text": "Measured once more", "like_count": 3},
            **{"comment_count": 1, "created_at": "2026-01-01T00:00:00Z"},
        }
    )
    answers = {
        b"/feed": FeedPage.model_validate({"items": [post.model_dump()] * 20}).model_dump_json(),
        b"/posts": post.model_dump_json(),
    }

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # when the client is done
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = next(text for path, text in answers.items() if path in head.split(b" ")[1])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"X-Correlation-ID: 0190b6f0\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body.encode())
                )

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def served() -> Iterator[str]:
    """The base URL of the server, which runs until the block ends."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            port = process.stdout.readline() if process.stdout else b""
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            process.terminate()


def import_cases() -> list[Case]:
    """The package as it is imported, and all that a client loads at its first use.

    The second is beside a program that has a model: pydantic loads most of itself for the first.
    """

    def compared(ours: str, bare: str) -> Case:
        costs = partial(imported, ours), partial(imported, bare)
        return Case(ours.removeprefix("from pulse_sdk "), "ms", *costs, IMPORTS, IMPORT_LIMIT)

    model = "from pydantic import create_model; create_model('Model', field=(int, ...))"
    return [
        compared("import pulse_sdk", "import httpx, pydantic"),
        compared("from pulse_sdk import Pulse", f"import httpx; {model}"),
    ]


@contextmanager
def call_cases() -> Iterator[list[Case]]:
    """One small answer and a page of 20."""
    import httpx
    from pydantic import TypeAdapter

    from pulse_sdk import Pulse
    from pulse_sdk.contract.posts import Post
    from pulse_sdk.contract.social import FeedPage

    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    with served() as url, Pulse(url, token=TOKEN) as pulse, httpx.Client() as http:

        def bare(
            path: str, adapter: TypeAdapter[Any], query: dict[str, int] | None = None
        ) -> object:
            answer = http.get(f"{url}/api/v1{path}", headers=headers, params=query)
            return adapter.validate_json(answer.raise_for_status().content)

        post, feed = TypeAdapter(Post), TypeAdapter(FeedPage)
        yield [
            Case(
                "posts.get",
                "µs",
                lambda: per_call(lambda: pulse.posts.get(ID)),
                lambda: per_call(lambda: bare(f"/posts/{ID}", post)),
                ROUNDS,
                CALL_LIMIT,
            ),
            Case(
                "feed.list, 20 posts",
                "µs",
                lambda: per_call(lambda: pulse.feed.list().page()),
                lambda: per_call(lambda: bare("/feed", feed, {"limit": 20})),
                ROUNDS,
                CALL_LIMIT,
            ),
        ]


def missed(case: Case) -> bool:
    """Measure and print a row; whether its limit was missed."""
    sides = case.ours, case.bare
    costs: tuple[list[float], list[float]] = ([], [])
    for round_ in range(-2, case.rounds):
        for side in (0, 1) if round_ % 2 == 0 else (1, 0):
            cost = sides[side]()
            if round_ >= 0:  # the first two warm up
                costs[side].append(cost)
    ours, bare = (statistics.median(found) for found in costs)
    shown = [
        f"{median:7.1f} ({min(found):.1f} to {max(found):.1f}) {case.unit}"
        for median, found in zip((ours, bare), costs, strict=True)
    ]
    ratio = f"{ours / bare:6.2f} ≤ {case.limit}"
    print(f"{case.name:<20} {shown[0]:>32} {shown[1]:>32} {ratio}", flush=True)
    return ours / bare > case.limit


def main() -> None:
    """Print a row for each case; exit 3 when one costs more than its limit."""
    print(f"{'CPU time':<20} {'pulse_sdk':>32} {'httpx, pydantic':>32}  ratio")
    found = [missed(case) for case in import_cases()]
    with call_cases() as cases:
        found += [missed(case) for case in cases]
    sys.exit(3 if any(found) else 0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
    else:
        main()
