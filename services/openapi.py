"""The one-shot job that writes the API's description down: `python -m services.openapi FOLDER`.

It alone imports every service. The gateway serves the two files, so the description is there
whichever service is not.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from pulse_sdk.contract.messaging import SocketQuery
from services.events.api import ENDPOINTS as EVENTS
from services.kit.openapi import (
    UNAUTHORIZED,
    Json,
    fragment,
    openapi,
    problem,
    query_parameters,
)
from services.messaging.api import ENDPOINTS as MESSAGING
from services.messaging.sockets import PATH as SOCKET
from services.notifications.api import ENDPOINTS as NOTIFICATIONS
from services.openapi_page import page
from services.posts.api import ENDPOINTS as POSTS
from services.social.api import ENDPOINTS as SOCIAL
from services.users.api import ENDPOINTS as USERS

ENDPOINTS = {
    "users": USERS,
    "posts": POSTS,
    "social": SOCIAL,
    "messaging": MESSAGING,
    "notifications": NOTIFICATIONS,
    "events": EVENTS,
}
"""Every service's table."""

DOCUMENT = "openapi.json"
PAGE = "docs.html"

_NOT_FOUND = re.compile(r'\bnot_found\(\s*"(\w+)"')
_CODE = re.compile(
    r'ServiceError(?:\.(?:conflict|forbidden|unauthorized))?\(\s*(?:HTTPStatus\.\w+,\s*)?"(\w+)"'
    r'|(?<!\w)\("([a-z]+(?:_[a-z]+)+)",\s*"[A-Z][a-z]'
)
"""A refusal's code in a call, or in a table of codes and sentences."""

_ABOUT = """A social platform in six services behind one gateway.

Lists are read page by page: pass `next_cursor` as `cursor` until it is null. Every refusal is a
problem document (RFC 9457) with a stable `code`; `gateway_*` are the gateway's own. Send
`X-Correlation-ID` to find a request again in every service's log."""


def document() -> Json:
    """The whole API as an OpenAPI 3.1 document."""
    parts = {tag: fragment(tag, table, codes(tag)) for tag, table in ENDPOINTS.items()}
    parts["messaging"]["paths"][SOCKET] = {"get": _socket()}
    return openapi("Pulse", version("pulse-platform"), _ABOUT, parts)


@cache
def codes(service: str) -> tuple[str, ...]:
    """The codes of the refusals that a service's own modules spell out."""
    folder = files("services") / service
    text = "".join(
        file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".py")
    )
    missing = {f"{what}_not_found" for what in _NOT_FOUND.findall(text)}
    told = {called or listed for called, listed in _CODE.findall(text)}
    return tuple(sorted(missing | told))


def _socket() -> Json:
    """The WebSocket, as far as OpenAPI can tell of it."""
    return {
        "operationId": "messaging_socket",
        "tags": ["messaging"],
        "summary": "Open the WebSocket on which the caller's messages arrive.",
        "description": "After the upgrade each text frame is a JSON object with a `type`.",
        "security": [{"user": []}],
        "parameters": query_parameters(SocketQuery.model_json_schema()),
        "responses": {
            "101": {"description": "Switching Protocols"},
            "400": problem(("gateway_bad_request",)),
            "401": problem(UNAUTHORIZED),
            "422": problem(("invalid_request",)),
            "426": problem(("upgrade_required",)),
            "4XX": problem(codes("messaging")),
            "5XX": problem(),
        },
    }


def write(folder: Path) -> None:
    """Write the document and its page into a folder.

    Raises:
        OSError: they cannot be written.
    """
    whole = document()
    texts = {DOCUMENT: json.dumps(whole, separators=(",", ":")), PAGE: page(whole)}
    for name, text in texts.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m services.openapi FOLDER")
    try:
        write(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(f"cannot write the API's description: {error}")
