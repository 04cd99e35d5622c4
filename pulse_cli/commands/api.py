"""`pulse api`: the client's verbs on the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root
from pulse_cli.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pulse_sdk import Pulse
    from pulse_sdk.contract.users import User

api = typer.Typer(
    name="api",
    help="Act as one of the platform's people: log in, post, read, follow, write, listen.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The gateway; by default $PULSE_API_URL, else that of this folder's running stack.",
    ),
]
AsJson = Annotated[bool, JSON]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where a page ended: its `next_cursor`.")]
Key = Annotated[
    str | None,
    typer.Option("--idempotency-key", help="Repeated with the same key, it happens once."),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin's first line.")
]
WrittenText = Annotated[str, typer.Argument(metavar="TEXT", help="A lone - reads it from stdin.")]


@api.command()
def register(
    ctx: typer.Context,
    username: Annotated[str, typer.Argument(help="3 to 30 letters, digits and underscores.")],
    email: Annotated[str, typer.Option(help="Where the account can be reached.")],
    name: Annotated[
        str | None, typer.Option(help="What others see; the username by default.")
    ] = None,
    password_stdin: PasswordStdin = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an account and log in; the password is asked for."""
    from pulse_cli.api.client import address, connected
    from pulse_cli.api.session import Session

    url = address(Root.of(ctx), url)
    password = _password(password_stdin, new=True)
    with connected(url, None) as client:
        made = client.auth.register(
            email=email, username=username, password=password, display_name=name or username
        )
    Session(url).begin(made.tokens)
    _print_login(url, made.user, as_json)


@api.command()
def login(
    ctx: typer.Context,
    username: Annotated[str, typer.Argument(help="Or the email address.")],
    password_stdin: PasswordStdin = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Log in; the password is asked for, and the session is kept for later commands."""
    from pulse_cli.api.client import address, connected
    from pulse_cli.api.session import Session

    url = address(Root.of(ctx), url)
    password = _password(password_stdin)
    with connected(url, None) as client:
        Session(url).begin(client.auth.login(username, password))
        me = client.users.me()
    _print_login(url, me, as_json)


@api.command()
def logout(ctx: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """End the session, here and at the server; again changes nothing."""
    from pulse_cli.api.client import address, connected
    from pulse_cli.api.session import Session
    from pulse_cli.errors import Refused
    from pulse_cli.output import emit_json

    url = address(Root.of(ctx), url)
    session = Session(url)
    was_logged_in = session.exists
    if was_logged_in:
        try:
            with connected(url, session) as client:
                client.auth.logout()
        except Refused:
            pass  # It had ended already.
        session.end()
    if as_json:
        emit_json({"url": url, "was_logged_in": was_logged_in})
    else:
        print(f"{'logged out' if was_logged_in else 'nobody was logged in'} at {url}")


@api.command()
def whoami(ctx: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """Show who is logged in, and where."""
    from pulse_cli.api.shown import plain
    from pulse_cli.output import emit_json

    with _client(ctx, url) as client:
        me = client.users.me()
        where = client.flow.base_url
    if as_json:
        emit_json({"url": where, "user": me.model_dump(mode="json")})
    else:
        print(f"{me.username} ({plain(me.display_name)}) at {where}")


@api.command()
def post(
    ctx: typer.Context,
    text: WrittenText,
    key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Post a text of 1 to 500 characters; print its id."""
    with _client(ctx, url) as client:
        made = client.posts.create(_written(text), idempotency_key=key)
    _print_made(made.id, made.model_dump(mode="json"), as_json)


@api.command()
def feed(
    ctx: typer.Context,
    limit: Limit = 20,
    cursor: Cursor = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest posts of those one follows."""
    from pulse_cli.api.shown import show_posts
    from pulse_cli.output import emit_json, people

    with _client(ctx, url) as client:
        page = client.feed.list(limit=limit, cursor=cursor).page()
    if as_json:
        emit_json(page.model_dump(mode="json"))
        return
    show_posts(page.items)
    if page.degraded:
        people().print("some posts are missing: the posts service could not be asked")
    _tell_of_more(page.next_cursor)


@api.command()
def follow(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="A username or an id.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Follow somebody; again changes nothing."""
    _set_following(ctx, user, url, as_json, following=True)


@api.command()
def unfollow(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="A username or an id.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Stop following somebody; again changes nothing."""
    _set_following(ctx, user, url, as_json, following=False)


@api.command()
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
    with _client(ctx, url) as client:
        sent = client.conversations.send(conversation_of(client, to), text, idempotency_key=key)
    _print_made(sent.id, sent.model_dump(mode="json"), as_json)


@api.command()
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

    with _client(ctx, url) as client:
        page = client.notifications.list(unread=unread, limit=limit, cursor=cursor).page()
        if as_json:
            emit_json(page.model_dump(mode="json"))
        else:
            show_notifications(page.items, names(client))
            _tell_of_more(page.next_cursor)
        for one in page.items if mark_read else ():
            if not one.read:
                client.notifications.mark_read(one.id)


@api.command()
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
    from pulse_cli.output import people

    with _client(ctx, url) as client, client.realtime.frames(after=after) as frames:
        named = names(client)
        tell_of_breaks()
        people().print(f"listening at {client.flow.base_url}; Ctrl-C ends it", markup=False)
        for frame in islice(frames, count):
            print(frame.model_dump_json() if as_json else line_of(frame, named), flush=True)


def _client(ctx: typer.Context, url: str | None) -> AbstractContextManager[Pulse]:
    """The client of whoever is logged in."""
    from pulse_cli.api.client import address, connected
    from pulse_cli.api.session import Session

    where = address(Root.of(ctx), url)
    return connected(where, Session(where))


def _print_login(url: str, user: User, as_json: bool) -> None:
    from pulse_cli.output import emit_json

    if as_json:
        emit_json({"url": url, "user": user.model_dump(mode="json")})
    else:
        print(f"logged in at {url} as {user.username}")


def _password(from_stdin: bool, *, new: bool = False) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        from getpass import getpass

        password = getpass("Password: ")
        if new and getpass("The same again: ") != password:
            raise ConfigError("the two passwords differ")
    else:
        raise ConfigError(
            "there is no terminal to ask for the password; hand it in with --password-stdin"
        )
    if not password:
        raise ConfigError("the password is empty")
    return password


def _written(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _set_following(
    ctx: typer.Context, user: str, url: str | None, as_json: bool, *, following: bool
) -> None:
    from pulse_cli.api.client import user_of
    from pulse_cli.output import emit_json

    with _client(ctx, url) as client:
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


def _tell_of_more(cursor: str | None) -> None:
    from pulse_cli.output import people

    if cursor is not None:
        people().print(f"there are more: --cursor {cursor}", soft_wrap=True, markup=False)
