"""What reading a feed costs the social service as people and posts grow.

`python benchmarks/feed.py` seeds an isolated stack for each number of users and reads the feeds of
some of them from the service itself, one request at a time: first while they have no timeline, then
again and again, then five pages deep. Sizes may be given (`USERS:POSTS_PER_USER`, the same users
once); 100000:2 takes minutes. `--graph FILE` takes the people of an edge list instead; then each
argument is `POSTS_PER_USER`. Times are what a client on the same machine waits, bodies included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
import jwt
from rich.console import Console
from rich.table import Table

from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import Stack
from services.kit.ids import new_id

PULSE = Path(sys.executable).with_name("pulse")
SIZES = ("1000:20", "1000:80", "10000:20")
GRAPH_SIZES = ("20", "80")
READERS = 300
WARM_READS = 5
DEEP_PAGE = 5
FIRST, NEXT = "first read", "warm"
DEEP = f"page {DEEP_PAGE}"


@dataclass
class Row:
    """One line of the table; times in milliseconds."""

    users: int
    follows: int
    posts: int
    seed_seconds: float
    times: dict[str, list[float]] = field(default_factory=lambda: {FIRST: [], NEXT: [], DEEP: []})


def pulse(project: Path, *arguments: str) -> str:
    """What a command of the CLI prints; its own words go to stderr as usual."""
    command = [str(PULSE), "-C", str(project), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def isolated() -> Iterator[Path]:
    """A folder in which a stack runs."""
    with tempfile.TemporaryDirectory(prefix="pulse-feed-") as folder:
        project = Path(folder)
        try:
            pulse(project, "up", "--isolated", "--json")
            yield project
        finally:
            pulse(project, "down")


def measure(project: Path, people: list[str], posts_per_user: int) -> Row:
    """Seed as told, then read feeds."""
    arguments = ("seed", *people, "--posts-per-user", str(posts_per_user), "--json")
    seeded: dict[str, Any] = json.loads(pulse(project, *arguments))
    row = Row(seeded["users"], seeded["follows"], seeded["posts"], seeded["seconds"])
    stack = running_stack(project / ".pulse")
    assert stack is not None  # noqa: S101 - it was brought up
    users = json.loads((project / ".pulse" / "seed.json").read_text())["users"]
    chance = random.Random(1)  # noqa: S311 - the same readers each time
    readers = [user["id"] for user in chance.sample(users, min(READERS, len(users)))]
    asyncio.run(_read(stack, project, readers, row))
    return row


async def _read(stack: Stack, project: Path, readers: list[str], row: Row) -> None:
    key = (project / ".pulse" / "secrets" / "operator" / "token_key").read_text().strip()
    url = f"http://127.0.0.1:{stack.services.social.port}/api/v1/feed"
    async with aiohttp.ClientSession() as session:
        # What a process does once (connections, scripts) is not a reader's cost.
        for reader in readers[:10]:
            await _page(session, url, _token(stack, reader, key), None)
        for reader in readers[10:]:
            token = _token(stack, reader, key)
            milliseconds, cursor = await _page(session, url, token, None)
            row.times[FIRST].append(milliseconds)
            for _ in range(WARM_READS):
                milliseconds, _ = await _page(session, url, token, None)
                row.times[NEXT].append(milliseconds)
            for page in range(2, DEEP_PAGE + 1):
                if cursor is None:
                    break
                milliseconds, cursor = await _page(session, url, token, cursor)
                if page == DEEP_PAGE:
                    row.times[DEEP].append(milliseconds)


def _token(stack: Stack, user_id: str, key: str) -> str:
    now = int(time.time())
    claims = {
        "iss": stack.tokens.issuer,
        "aud": stack.tokens.audience,
        "sub": user_id,
        "sid": str(new_id()),
        "iat": now,
        "exp": now + 600,
    }
    return jwt.encode(claims, key, algorithm="HS256")


async def _page(
    session: aiohttp.ClientSession, url: str, token: str, cursor: str | None
) -> tuple[float, str | None]:
    params = {} if cursor is None else {"cursor": cursor}
    started = time.perf_counter()
    async with session.get(
        url, params=params, headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        answer.raise_for_status()
        page = json.loads(await answer.read())
    if page["degraded"]:
        raise SystemExit("the feed is degraded; see: pulse logs social posts")
    return (time.perf_counter() - started) * 1000, page["next_cursor"]


def table(rows: list[Row]) -> Table:
    """The rows, times as `p50 / p95` in milliseconds."""
    shown = Table(title="reading a feed: p50 / p95, ms")
    for heading in ("users", "follows", "posts", FIRST, NEXT, DEEP, "seeding, s"):
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(
            f"{row.users:,}",
            f"{row.follows:,}",
            f"{row.posts:,}",
            *(_percentiles(row.times[kind]) for kind in (FIRST, NEXT, DEEP)),
            f"{row.seed_seconds:.0f}",
        )
    return shown


def _percentiles(times: list[float]) -> str:
    if len(times) < 2:
        return "-"
    cuts = quantiles(times, n=20)
    return f"{cuts[9]:.1f} / {cuts[18]:.1f}"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", help="USERS:POSTS_PER_USER, or POSTS_PER_USER")
    parser.add_argument("--graph", help="an edge list")
    options = parser.parse_args()
    usual = SIZES if options.graph is None else GRAPH_SIZES
    rows: list[Row] = []
    sizes: dict[tuple[str, ...], list[int]] = {}
    for size in options.sizes or usual:
        users, _, posts = size.rpartition(":")
        people = ["--graph", options.graph] if options.graph else ["--users", users]
        sizes.setdefault(tuple(people), []).append(int(posts))
    try:
        for chosen, numbers in sizes.items():
            with isolated() as project:
                for number in sorted(numbers):
                    rows.append(measure(project, list(chosen), number))
    finally:  # what was measured before something went wrong holds
        # A log file has no width of its own.
        Console(width=None if sys.stdout.isatty() else 120).print(table(rows))


if __name__ == "__main__":
    main()
