"""What a service costs beside a bare aiohttp handler with the same SQL and cache calls.

Run in the folder of a running, seeded stack: `python benchmarks/endpoints.py [CASE ...]`. For five
endpoints it starts one more instance of the service and a bare handler (`bare.py`) with the same
settings, makes sure that both give as much, drives both in turns (A B B A …) with 16 connections,
and prints the CPU time of each process per request: the median over the rounds and the middle half
of them; and the same of the rounds' ratios. It exits 3 when one is above 1.5.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
import jwt
import psutil

from pulse_cli.programs import service_environment
from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import ServiceName, Stack

CONNECTIONS = 16
REQUESTS = 300
ROUNDS = 40
WARMING = 1000
LIMIT = 1.5


@dataclass(frozen=True)
class Case:
    """An endpoint, and the request that asks the bare handler for the same."""

    name: str
    service: ServiceName
    path: str
    bare: str
    body: bytes | None = None


def cases(user: str) -> list[Case]:
    """Five endpoints that stand for the rest: cache, select, insert, peer call, count."""
    return [
        Case("profile", "users", f"/api/v1/users/{user}", f"/{user}"),
        Case(
            "posts_by_author",
            "posts",
            f"/api/v1/posts?author_id={user}",
            f"/posts?author_id={user}",
        ),
        Case("create_post", "posts", "/api/v1/posts", "/posts", b'{"text": "Measured once more"}'),
        Case("feed", "social", "/api/v1/feed", f"/feed?reader={user}"),
        Case("unread", "notifications", "/api/v1/notifications/unread", f"/unread?user_id={user}"),
    ]


@contextmanager
def served(command: list[str], environment: dict[str, str], port: int) -> Iterator[psutil.Process]:
    """Run a server until the block ends, and wait until it listens."""
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        watched = psutil.Process(process.pid)
        deadline = time.monotonic() + 20
        while not any(c.laddr.port == port for c in watched.net_connections() if not c.raddr):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield watched
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """Asks one server the same again and again, over connections that stay."""

    def __init__(self, session: aiohttp.ClientSession, url: str, body: bytes | None) -> None:
        self._session = session
        self._method = "GET" if body is None else "POST"
        self._url = url
        self._body = body

    async def ask(self) -> bytes:
        """The answer; one that is no success ends it all."""
        async with self._session.request(self._method, self._url, data=self._body) as answer:
            if not answer.ok:
                raise SystemExit(f"{self._url}: {answer.status} {await answer.text()}")
            return await answer.read()

    async def shape(self) -> object:
        """What an answer consists of: its fields, or how many items it has and their fields."""
        document = json.loads(await self.ask())
        items = document.get("items")
        return sorted(document) if items is None else (len(items), sorted(items[0]))

    async def drive(self, requests: int) -> None:
        """Send so many requests."""
        remaining = iter(range(requests))

        async def work() -> None:
            for _ in remaining:
                await self.ask()

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def cpu_us(process: psutil.Process) -> float:
    """CPU time that a process has used, in µs; psutil's is counted in ticks of 10 ms."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


class Costs(NamedTuple):
    """CPU time per request in each round, µs."""

    service: list[float]
    bare: list[float]

    @property
    def ratios(self) -> list[float]:
        """The rounds' ratios: what else the machine does is much the same for both of a round."""
        return [ours / bare for ours, bare in zip(self.service, self.bare, strict=True)]


async def measure(
    stack: Stack, state: Path, case: Case, headers: dict[str, str], rounds: int
) -> Costs:
    """Drive both servers in turns."""
    environment = service_environment(stack, case.service, 0, state)
    environment["SERVICE_LOG_LEVEL"] = "error"  # that a query was slow, it is here quite often
    ports = (free_port(), free_port())
    service = [sys.executable, "-m", f"services.{case.service}"]
    bare = [sys.executable, str(Path(__file__).with_name("bare.py")), case.name]
    costs = Costs([], [])
    with (
        served(service, {**environment, "SERVICE_PORT": str(ports[0])}, ports[0]) as first,
        served(bare, {**environment, "SERVICE_PORT": str(ports[1])}, ports[1]) as second,
    ):
        async with aiohttp.ClientSession(headers=headers) as session:
            clients = [
                Client(session, f"http://127.0.0.1:{port}{path}", case.body)
                for port, path in zip(ports, (case.path, case.bare), strict=True)
            ]
            for client in clients:
                await client.drive(WARMING)
            given = [await client.shape() for client in clients]
            if given[0] != given[1]:
                raise SystemExit(f"{case.name}: {given[0]} from the service, {given[1]} else")
            for round_ in range(rounds):
                for which in (0, 1) if round_ % 2 == 0 else (1, 0):
                    process = (first, second)[which]
                    before = cpu_us(process)
                    await clients[which].drive(REQUESTS)
                    costs[which].append((cpu_us(process) - before) / REQUESTS)
    return costs


def told(values: list[float], digits: int) -> str:
    """The median and the middle half."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    """Print a row for each endpoint; exit 3 when one costs more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all of them if none is named")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    state = Path(".pulse").resolve()
    stack = running_stack(state)
    if stack is None or not (state / "seed.json").exists():
        raise SystemExit("run this where a seeded stack runs: pulse up && pulse seed --users 1000")
    user = json.loads((state / "seed.json").read_text())["users"][0]["id"]
    now = int(time.time())
    claims = {
        "iss": stack.tokens.issuer,
        "aud": stack.tokens.audience,
        "sub": user,
        "sid": user,
        "iat": now,
        "exp": now + 3600,
    }
    key = (state / "secrets" / "operator" / "token_key").read_text().strip()
    headers = {
        "Authorization": f"Bearer {jwt.encode(claims, key, algorithm='HS256')}",
        "Content-Type": "application/json",
    }
    known = {case.name: case for case in cases(user)}
    if unknown := set(options.cases) - set(known):
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(known)}")
    print(f"{'CPU µs per request':<18} {'service':>22} {'bare':>22} {'ratio':>22}")
    worst = 0.0
    for name in options.cases or known:
        costs = asyncio.run(measure(stack, state, known[name], headers, options.rounds))
        worst = max(worst, statistics.median(costs.ratios))
        columns = told(costs.service, 0), told(costs.bare, 0), told(costs.ratios, 2)
        print(f"{name:<18} {columns[0]:>22} {columns[1]:>22} {columns[2]:>22}", flush=True)
    sys.exit(3 if worst > LIMIT else 0)


if __name__ == "__main__":
    main()
