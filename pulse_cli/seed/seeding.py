"""One seeding of a stack, from the graph to the record of who can log in."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pulse_cli.files import write_private
from pulse_cli.seed.graph import Graph
from pulse_cli.seed.importer import Advance, Importer
from pulse_cli.seed.people import Cast
from pulse_cli.stack.model import Stack
from pulse_cli.stack.secrets import ensure_secrets

RECORD = "seed.json"
"""In the state folder: the accounts that `pulse bench` logs in. Their password is the operator's
secret `seed_password`."""


@dataclass(frozen=True)
class Seeded:
    """What a stack holds after a seeding, and how much of it was new."""

    users: int
    follows: int
    posts: int
    new_users: int
    new_follows: int
    new_posts: int
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def seed_stack(
    stack: Stack, state: Path, graph: Graph, *, posts_per_user: int, seed: int, console: Console
) -> Seeded:
    """Import the graph's people, their follows and posts; again does nothing new.

    Raises:
        NotHealthy: a service is away or refuses.
    """
    secrets = ensure_secrets(state)
    cast = Cast(graph, seed)
    started = time.monotonic()
    totals = (len(graph.nodes), len(graph.follows), len(graph.nodes) * posts_per_user)

    async def run(progress: Progress) -> tuple[int, int, int]:
        # Services listen on this machine: a proxy from the environment has no part in it.
        async with httpx.AsyncClient(trust_env=False) as client:
            importer = Importer(stack, client, secrets.get("operator", "service_key"))
            password = SecretStr(secrets.get("operator", "seed_password"))
            in_feeds = await importer.posts_in_feeds()
            bars = [
                _bar(progress, name, total)
                for name, total in zip(("users", "follows", "posts"), totals, strict=True)
            ]
            users = await importer.users(cast.users(), password, bars[0])
            await importer.authors(cast.users(), _bar(progress, "names", totals[0]))
            follows = await importer.follows(cast.follows(), bars[1])
            posts = await importer.posts(cast.posts(posts_per_user), bars[2])
            await importer.feeds_caught_up(in_feeds, posts, _bar(progress, "feeds", posts))
            return users, follows, posts

    with Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        new = asyncio.run(run(progress))
    users = [{"id": str(user.id), "username": user.username} for user in cast.users()]
    write_private(state / RECORD, json.dumps({"seed": seed, "users": users}))
    return Seeded(*totals, *new, seconds=round(time.monotonic() - started, 2))


def _bar(progress: Progress, name: str, total: int) -> Advance:
    task = progress.add_task(name, total=total)
    return lambda count: progress.advance(task, count)
