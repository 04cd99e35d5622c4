"""What a service costs beside a bare aiohttp handler with the same SQL and cache calls.

Run in the folder of a running, seeded stack: `python benchmarks/endpoints.py`. For five endpoints
it starts one more instance of the service and a bare handler (`bare.py`) with the same settings,
drives both in turns (A B B A …) with 16 connections, and prints the CPU time of each process per
request: the median over the rounds and their range, and the ratio of the medians.
"""

from __future__ import annotations

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

import aiohttp
import jwt
import psutil

from pulse_cli.programs import service_environment
from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import ServiceName, Stack

CONNECTIONS = 16
REQUESTS = 1500
ROUNDS = 6
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


async def drive(url: str, headers: dict[str, str], body: bytes | None, requests: int) -> None:
    """Send so many requests over a few connections; an answer that is no success ends it all."""
    remaining = iter(range(requests))
    method = "GET" if body is None else "POST"
    async with aiohttp.ClientSession(headers=headers) as session:

        async def work() -> None:
            for _ in remaining:
                async with session.request(method, url, data=body) as answer:
                    if not answer.ok:
                        raise SystemExit(f"{url}: {answer.status} {await answer.text()}")
                    await answer.read()

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def cpu_us(process: psutil.Process) -> float:
    """CPU time that a process has used, in µs."""
    times = process.cpu_times()
    return float(times.user + times.system) * 1e6


def measure(stack: Stack, state: Path, case: Case, headers: dict[str, str]) -> tuple[float, ...]:
    """Drive both servers in turns; median, least and most µs per request of each, and the ratio."""
    environment = service_environment(stack, case.service, 0, state)
    ports = (free_port(), free_port())
    here = Path(__file__).with_name("bare.py")
    commands = (
        ([sys.executable, "-m", f"services.{case.service}"], case.path),
        ([sys.executable, str(here), case.name], case.bare),
    )
    costs: tuple[list[float], list[float]] = ([], [])
    with (
        served(commands[0][0], {**environment, "SERVICE_PORT": str(ports[0])}, ports[0]) as ours,
        served(commands[1][0], {**environment, "SERVICE_PORT": str(ports[1])}, ports[1]) as bare,
    ):
        for round_ in range(-1, ROUNDS):
            order = (0, 1) if round_ % 2 == 0 else (1, 0)
            for which in order:
                process, (_, path) = (ours, bare)[which], commands[which]
                url = f"http://127.0.0.1:{ports[which]}{path}"
                before = cpu_us(process)
                asyncio.run(drive(url, headers, case.body, REQUESTS))
                if round_ >= 0:  # the first warms up
                    costs[which].append((cpu_us(process) - before) / REQUESTS)
    medians = [statistics.median(found) for found in costs]
    ranges = [edge for found in costs for edge in (min(found), max(found))]
    return (*medians, *ranges, medians[0] / medians[1])


def main() -> None:
    """Print a row for each endpoint; exit 3 when one costs more than the limit."""
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
    print(f"{'CPU µs per request':<18} {'service':>22} {'bare':>22} {'ratio':>6}")
    worst = 0.0
    for case in cases(user):
        ours, bare, *ranges, ratio = measure(stack, state, case, headers)
        worst = max(worst, ratio)
        print(
            f"{case.name:<18} {ours:8.0f} ({ranges[0]:.0f} to {ranges[1]:.0f})".ljust(42)
            + f"{bare:8.0f} ({ranges[2]:.0f} to {ranges[3]:.0f})".ljust(23)
            + f"{ratio:6.2f}"
        )
    sys.exit(3 if worst > LIMIT else 0)


if __name__ == "__main__":
    main()
