"""How many events a second go through one relay and one consumer, and what they cost.

`python benchmarks/events.py 20000` brings up an isolated stack, puts so many events into the outbox
of posts in one transaction, and takes the time until a consumer has written all of them to its own
table in PostgreSQL. The relay is that of the posts service, in its process; the consumer is this
process. Both are the kit's own, and no other service hears of these events. The table says what
each process used of a core, so that what limits the rate can be seen.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg2
from psycopg2.extras import execute_values
from rich.console import Console
from rich.table import Table

from pulse_cli.programs import service_environment
from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import ServiceName, Stack
from pulse_cli.targets.local.target import Local
from pulse_sdk.contract.domain import DomainEvent, PostCreated, PostCreatedEvent
from services.kit.bus import Bus
from services.kit.consumer import Subscription
from services.kit.db import Query, dsn, open_database
from services.kit.ids import new_id
from services.kit.settings import Settings

PULSE = Path(sys.executable).with_name("pulse")
QUEUE = "benchmark.events"
"""Queue and routing key, to which nobody else listens."""
WATCHED = ("posts-0", "rabbitmq", "postgres")

_KEEP = Query(
    "benchmark_keep",
    """INSERT INTO author_posts (author_id, post_id)
    SELECT * FROM unnest(%(authors)s::uuid[], %(posts)s::uuid[]) ON CONFLICT DO NOTHING""",
)


class _NoOutbox:
    """An outbox with nothing in it, since this process consumes only."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()

    async def relay(self, _: object) -> None:
        """Do nothing, once the queues are there."""
        self.connected.set()
        await asyncio.Event().wait()


@contextmanager
def isolated() -> Iterator[Path]:
    """The state folder of a stack that runs meanwhile."""
    with tempfile.TemporaryDirectory(prefix="pulse-events-") as folder:
        try:
            subprocess.run([PULSE, "-C", folder, "up", "--isolated"], check=True)
            yield Path(folder) / ".pulse"
        finally:
            subprocess.run([PULSE, "-C", folder, "down"], check=False)


def settings_of(service: ServiceName, stack: Stack, state: Path) -> Settings:
    """The settings of one more instance of a service."""
    environment = service_environment(stack, service, 0, state)
    values = {key.removeprefix("SERVICE_").lower(): value for key, value in environment.items()}
    folder = Path(values["secrets_dir"])
    secrets = {file.name: file.read_text().strip() for file in folder.iterdir()}
    return Settings.model_validate({**values, **secrets})


def fill(settings: Settings, count: int) -> None:
    """Put events into an outbox, all at once."""
    events = (
        PostCreatedEvent(
            id=new_id(),
            source="/benchmark",
            time=datetime.now(UTC),
            data=PostCreated(post_id=new_id(), author_id=new_id()),
        )
        for _ in range(count)
    )
    rows = [(event.id, QUEUE, event.model_dump_json(exclude_none=True)) for event in events]
    with (
        closing(psycopg2.connect(dsn(settings))) as connection,
        connection,
        connection.cursor() as c,
    ):
        execute_values(c, "INSERT INTO outbox (id, type, envelope) VALUES %s", rows, page_size=1000)


def processes(state: Path) -> dict[str, list[psutil.Process]]:
    """What is watched, each with all its children."""
    pids = {one.name: one.pid for one in Local(state).status()}
    found = {"consumer": [psutil.Process()]}
    for name in WATCHED:
        parent = psutil.Process(pids[name])
        found[name] = [parent, *parent.children(recursive=True)]
    return found


def cpu_seconds(running: Sequence[psutil.Process]) -> float:
    """What processes have used so far."""
    used = 0.0
    for process in running:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


async def measure(state: Path, count: int) -> None:
    """Fill, wait, and print."""
    stack = running_stack(state)
    assert stack is not None  # noqa: S101 - it was brought up
    settings = settings_of("social", stack, state)
    handled, batches = 0, 0
    done = asyncio.Event()
    async with open_database(settings) as database:

        async def handle(events: list[DomainEvent]) -> None:
            nonlocal handled, batches
            posts = [event.data for event in events if isinstance(event, PostCreatedEvent)]
            params = {
                "authors": [post.author_id for post in posts],
                "posts": [post.post_id for post in posts],
            }
            await database.execute(_KEEP, params)
            handled, batches = handled + len(events), batches + 1
            if handled >= count:
                done.set()

        subscription = Subscription(QUEUE, (QUEUE,), handle)  # type: ignore[arg-type]
        outbox = _NoOutbox()
        bus = Bus(settings, outbox, (subscription,))  # type: ignore[arg-type]
        task = asyncio.create_task(bus.run())
        await outbox.connected.wait()
        watched = processes(state)
        before = {name: cpu_seconds(running) for name, running in watched.items()}
        await asyncio.to_thread(fill, settings_of("posts", stack, state), count)
        used_to_fill = cpu_seconds([psutil.Process()]) - before["consumer"]
        started = time.perf_counter()
        await done.wait()
        took = time.perf_counter() - started
        after = {name: cpu_seconds(running) for name, running in watched.items()}
        after["consumer"] -= used_to_fill
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    table = Table("PROCESS", "CORE", "CPU µs PER EVENT", box=None, header_style="bold")
    for name in watched:
        used = after[name] - before[name]
        table.add_row(name, f"{used / took:.0%}", f"{used / count * 1e6:.0f}")
    console = Console(highlight=False)
    console.print(f"{count:,} events in {took:.2f} s: {count / took:,.0f}/s, in {batches} batches")
    console.print(table)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("events", type=int, nargs="?", default=20_000)
    wanted = parser.parse_args()
    with isolated() as state:
        asyncio.run(measure(state, wanted.events))


if __name__ == "__main__":
    main()
