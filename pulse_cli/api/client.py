"""The client of a `pulse api` command: where it calls, as whom, and what its errors mean here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from pulse_cli import errors
from pulse_cli.api.session import Session
from pulse_cli.api.shown import plain
from pulse_sdk import (
    AnswerError,
    ConnectionFailed,
    InvalidInput,
    NotAuthenticated,
    Pulse,
    PulseError,
    RateLimited,
    ServerError,
    UnreadableAnswer,
)

if TYPE_CHECKING:
    from pulse_cli.context import Root
    from pulse_sdk.contract.users import User

URL_VARIABLE = "PULSE_API_URL"

_ARGUMENTS = {"base_url": "--url"}
"""What an argument of the client is called here."""


def address(root: Root, url: str | None) -> str:
    """Where to call: what `--url` says, else `PULSE_API_URL`, else this folder's running stack.

    Raises:
        NotHealthy: Nothing of these says where.
    """
    told = url or os.environ.get(URL_VARIABLE)
    try:
        return (told or root.running().gateway_url).rstrip("/")
    except errors.NotHealthy as error:
        raise errors.NotHealthy(f"{error}, or say with --url where to call") from None


@contextmanager
def connected(url: str, token: Session | None) -> Iterator[Pulse]:
    """A client of this address; what it raises becomes an error of the command line."""
    try:
        with Pulse(url, token=token) as client:
            yield client
    except PulseError as error:
        raise explained(error, url) from error


def explained(error: PulseError, url: str) -> errors.PulseError:
    """One sentence about an error of the client: what, where, how to mend it."""
    if _of_something_else(error):
        return errors.ConfigError(
            f"what answers at {url} is no Pulse that this version understands; check --url"
        )
    said = f"{url}: {_said(error)}"
    kind: type[errors.PulseError] = errors.Refused
    match error:
        case ConnectionFailed():
            kind = errors.NotHealthy
            said = f"{plain(error.reason)}; start the stack with: pulse up, or say --url"
        case InvalidInput():
            kind = errors.ConfigError
            said = _said(error)
        case NotAuthenticated() if error.code != "credentials_wrong":
            said += "; log in with: pulse api login USERNAME"
        case RateLimited():
            wait = "later" if error.retry_after is None else f"in {error.retry_after:.0f} s"
            said += f"; try again {wait}"
        case ServerError():
            kind = errors.NotHealthy
            said += f" ({error.status}, correlation id {error.correlation_id}); see: pulse health"
    return kind(said)


def _of_something_else(error: PulseError) -> bool:
    """Whether another server than ours answered: ours gives its reasons a code of their own."""
    return isinstance(error, UnreadableAnswer) or (
        isinstance(error, AnswerError) and error.status < 500 and error.code.startswith("http_")
    )


def _said(error: PulseError) -> str:
    """What is wrong, in the server's words or the client's, as one line without a final stop."""
    said = str(error)
    if isinstance(error, InvalidInput) and error.fields:
        said = "; ".join(
            f"{_ARGUMENTS.get(field.field, field.field)}: {field.message}".removeprefix(": ")
            for field in error.fields
        )
    elif isinstance(error, AnswerError):
        said = error.problem.detail or error.problem.title
    return plain(said).rstrip(".")


def user_of(client: Pulse, name: str) -> User:
    """Somebody by username (with or without `@`) or id.

    Raises:
        Refused: There is nobody of that name.
    """
    try:
        return client.users.get(UUID(name))
    except ValueError:
        wanted = name.removeprefix("@").lower()
    for user in client.users.search(wanted).page().items if wanted else ():
        if user.username == wanted:
            return user
    raise errors.Refused(f"{client.flow.base_url}: there is nobody called {plain(name)!r}")


def conversation_of(client: Pulse, to: str) -> UUID:
    """A conversation by its id, or the one with somebody by username.

    Raises:
        Refused: There is nobody of that name.
    """
    try:
        return UUID(to)
    except ValueError:
        return client.conversations.open([user_of(client, to).id]).id
