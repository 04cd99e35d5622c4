"""What changes something: posts, follows and messages."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pulse_cli.commands.api.options import AsJson, Url, client_of

Key = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="Repeated with the same key, it happens once."),
]
WrittenText = Annotated[str, typer.Argument(metavar="TEXT", help="A lone - reads it from stdin.")]
Somebody = Annotated[str, typer.Argument(metavar="USER", help="A username or an id.")]


def post(
    ctx: typer.Context,
    text: WrittenText,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Post a text of 1 to 500 characters; print its id."""
    with client_of(ctx, url) as client:
        made = client.posts.create(_written(text), idempotency_key=key)
    _print_made(made.id, made.model_dump(mode="json"), as_json)


def follow(
    ctx: typer.Context,
    user: Somebody,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Follow somebody; again changes nothing."""
    _set_following(ctx, user, url, as_json, following=True)


def unfollow(
    ctx: typer.Context,
    user: Somebody,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Stop following somebody; again changes nothing."""
    _set_following(ctx, user, url, as_json, following=False)


def message(
    ctx: typer.Context,
    to: Annotated[str, typer.Argument(help="A username, or the id of a conversation.")],
    text: WrittenText,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a message of 1 to 4,000 characters; print its id."""
    from pulse_cli.api.client import conversation_of

    text = _written(text)
    with client_of(ctx, url) as client:
        sent = client.conversations.send(conversation_of(client, to), text, idempotency_key=key)
    _print_made(sent.id, sent.model_dump(mode="json"), as_json)


def _written(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _set_following(
    ctx: typer.Context, user: str, url: str | None, as_json: bool, *, following: bool
) -> None:
    from pulse_cli.api.client import user_of
    from pulse_cli.output import emit_json

    with client_of(ctx, url) as client:
        found = user_of(client, user)
        change = client.social.follow if following else client.social.unfollow
        change(found.id)
    if as_json:
        emit_json({"user": found.model_dump(mode="json"), "following": following})
    else:
        print(f"{'following' if following else 'no longer following'} {found.username}")


def _print_made(made_id: object, made: object, as_json: bool) -> None:
    from pulse_cli.output import emit_json

    if as_json:
        emit_json(made)
    else:
        print(made_id)
