"""Who the command line is: accounts and sessions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.commands.api.options import AsJson, Url, client_of
from pulse_cli.context import Root
from pulse_cli.errors import ConfigError

if TYPE_CHECKING:
    from pulse_sdk.contract.users import User

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin's first line.")
]


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


def whoami(ctx: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """Show who is logged in, and where."""
    from pulse_cli.api.shown import plain
    from pulse_cli.output import emit_json

    with client_of(ctx, url) as client:
        me = client.users.me()
        where = client.flow.base_url
    if as_json:
        emit_json({"url": where, "user": me.model_dump(mode="json")})
    else:
        print(f"{me.username} ({plain(me.display_name)}) at {where}")


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
