"""`pulse events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root, group

if TYPE_CHECKING:
    from datetime import datetime

events = group(
    "events", "Look at the domain events that services could not handle, and replay them."
)


@events.command()
def parked(
    ctx: typer.Context,
    queue: Annotated[
        str | None, typer.Argument(help="Such as social.posts; without it, every queue.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most events shown of each queue.")] = 20,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Show what is parked: how many events, which, since when, and why they failed."""
    import asyncio
    from dataclasses import asdict
    from datetime import UTC, datetime

    from rich.markup import escape

    from pulse_cli.output import data, emit_json, table
    from pulse_cli.parked import parked as look
    from pulse_cli.stack.model import SUBSCRIPTIONS

    root = Root.of(ctx)
    queues = SUBSCRIPTIONS if queue is None else (queue,)
    found = asyncio.run(look(root.running(), root.state, queues, limit))
    if as_json:
        emit_json({"queues": [asdict(one) for one in found]})
        return
    now = datetime.now(UTC)
    table(("QUEUE", "PARKED"), [(one.queue, str(one.parked)) for one in found])
    rows = [
        (
            one.queue,
            event.type or "?",
            event.id or "?",
            _age(event.happened_at, now),
            _age(event.parked_at, now),
            escape(event.error or "?"),
        )
        for one in found
        for event in one.events
    ]
    if rows:
        data("")
        table(("QUEUE", "TYPE", "ID", "AGE", "PARKED FOR", "LAST ERROR"), rows)


@events.command()
def replay(
    ctx: typer.Context,
    queue: Annotated[str, typer.Argument(help="Such as social.posts.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most events; without it, all that are parked now.")
    ] = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Hand parked events in to their queue again, oldest first."""
    import asyncio

    from pulse_cli.output import data, emit_json
    from pulse_cli.parked import replay as hand_in

    root = Root.of(ctx)
    replayed = asyncio.run(hand_in(root.running(), root.state, queue, limit))
    if as_json:
        emit_json({"queue": queue, "replayed": replayed})
    else:
        data(f"{replayed} handed in to {queue} again")


def _age(since: datetime | None, now: datetime) -> str:
    from datetime import timedelta

    return "?" if since is None else str(timedelta(seconds=int((now - since).total_seconds())))
