"""`pulse api`: the client's verbs on the command line."""

from __future__ import annotations

from pulse_cli.commands.api import account, acting, reading
from pulse_cli.context import group

api = group(
    "api", "Act as one of the platform's people: log in, post, read, follow, write, listen."
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
