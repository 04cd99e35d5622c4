"""The options that verbs share, and the client of whoever is logged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pulse_sdk import Pulse

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The gateway; by default $PULSE_API_URL, else that of this folder's running stack.",
    ),
]
AsJson = Annotated[bool, JSON]


def client_of(ctx: typer.Context, url: str | None) -> AbstractContextManager[Pulse]:
    """The client of whoever is logged in."""
    from pulse_cli.api.client import address, connected
    from pulse_cli.api.session import Session

    where = address(Root.of(ctx), url)
    return connected(where, Session(where))
