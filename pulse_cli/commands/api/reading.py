"""What shows something: the feed, notifications, and what happens now."""

from __future__ import annotations

from typing import Annotated

import typer

from pulse_cli.commands.api.options import AsJson, Url, client_of

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where a page ended: its `next_cursor`.")]


def feed(
    ctx: typer.Context,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest posts of those one follows."""
    from pulse_cli.api.shown import show_posts
    from pulse_cli.output import emit_json, say

    with client_of(ctx, url) as client:
        page = client.feed.list(limit=limit, cursor=cursor).page()
    if as_json:
        emit_json(page.model_dump(mode="json"))
        return
    show_posts(page.items)
    if page.degraded:
        say("some posts are missing: the posts service could not be asked")
    _tell_of_more(page.next_cursor)


def notifications(
    ctx: typer.Context,
    unread: Annotated[bool, typer.Option("--unread", help="Those alone that are unread.")] = False,
    mark_read: Annotated[
        bool, typer.Option("--mark-read", help="Mark those that are shown as read.")
    ] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened, newest first."""
    from pulse_cli.api.shown import names, show_notifications
    from pulse_cli.output import emit_json

    with client_of(ctx, url) as client:
        page = client.notifications.list(unread=unread, limit=limit, cursor=cursor).page()
        if as_json:
            emit_json(page.model_dump(mode="json"))
        else:
            show_notifications(page.items, names(client))
            _tell_of_more(page.next_cursor)
        for one in page.items if mark_read else ():
            if not one.read:
                client.notifications.mark_read(one.id)


def tail(
    ctx: typer.Context,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Begin after this position: what came meanwhile comes first."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="End after so many frames.")
    ] = None,
    url: Url = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line and nothing else.")
    ] = False,
) -> None:
    """Print messages, notifications, and who writes, comes and goes, as it happens."""
    from itertools import islice

    from pulse_cli.api.shown import line_of, names, tell_of_breaks
    from pulse_cli.output import say

    with client_of(ctx, url) as client, client.realtime.frames(after=after) as frames:
        named = names(client)
        tell_of_breaks()
        say(f"listening at {client.flow.base_url}; Ctrl-C ends it")
        for frame in islice(frames, count):
            print(frame.model_dump_json() if as_json else line_of(frame, named), flush=True)


def _tell_of_more(cursor: str | None) -> None:
    from pulse_cli.output import say

    if cursor is not None:
        say(f"there are more: --cursor {cursor}")
