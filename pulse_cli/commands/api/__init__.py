"""`pulse api`: the client's verbs on the command line."""

from __future__ import annotations

import typer

from pulse_cli.commands.api import account, acting, reading

api = typer.Typer(
    name="api",
    help="Act as one of the platform's people: log in, post, read, follow, write, listen.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

for _command in (
    account.register,
    account.login,
    account.logout,
    account.whoami,
    acting.post,
    reading.feed,
    acting.follow,
    acting.unfollow,
    acting.message,
    reading.notifications,
    reading.tail,
):
    api.command()(_command)
