"""A bot that sums up one's unread notifications and marks them as read.

    PULSE_URL=http://127.0.0.1:8000 PULSE_LOGIN=ada PULSE_PASSWORD=... python examples/digest_bot.py

prints the digest; `--to USERNAME` sends it as a message, and `--every SECONDS` goes on until
Ctrl-C. What comes while it works stays unread for the next digest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from uuid import UUID

from pulse_sdk import NotFound, Pulse, PulseError
from pulse_sdk.contract.notifications import Notification


def digest_of(client: Pulse, notifications: Sequence[Notification]) -> str:
    """A line for each kind: how many, and from whom."""
    names: dict[UUID, str] = {}
    lines: dict[str, list[str]] = {}
    for one in notifications:
        if one.actor_id is not None and one.actor_id not in names:
            try:
                names[one.actor_id] = client.users.get(one.actor_id).display_name
            except NotFound:
                names[one.actor_id] = "somebody"
        who = "Pulse" if one.actor_id is None else names[one.actor_id]
        lines.setdefault(one.kind, []).append(who)
    return "\n".join(
        f"{len(actors)} x {kind}: {', '.join(dict.fromkeys(actors))}"
        for kind, actors in lines.items()
    )


def deliver(client: Pulse, to: str | None, digest: str, key: str) -> None:
    """Print the digest, or send it to somebody."""
    if to is None:
        print(digest, flush=True)
        return
    person = next((user for user in client.users.search(to) if user.username == to), None)
    if person is None:
        sys.exit(f"digest_bot: there is nobody called {to}")
    conversation = client.conversations.open([person.id])
    client.conversations.send(conversation.id, digest[:4000], idempotency_key=key)


def run_once(client: Pulse, to: str | None) -> None:
    """Deliver what is unread now, then mark exactly that as read."""
    unread = list(client.notifications.list(unread=True, limit=100))
    if unread:
        # The key holds for exactly these, should it be delivered but not be marked.
        key = f"digest-{unread[0].id}-{len(unread)}"
        deliver(client, to, digest_of(client, unread), key)
        for one in unread:
            client.notifications.mark_read(one.id)


def setting(name: str) -> str:
    """A variable of the environment."""
    return os.environ.get(name) or sys.exit(f"digest_bot: set {name}")


def main() -> None:
    """Run once, or every so many seconds."""
    parser = argparse.ArgumentParser(description="Sum up unread notifications.")
    parser.add_argument("--to", metavar="USERNAME", help="send it there as a message")
    parser.add_argument("--every", metavar="SECONDS", type=float, help="go on until Ctrl-C")
    options = parser.parse_args()
    url, login, password = map(setting, ("PULSE_URL", "PULSE_LOGIN", "PULSE_PASSWORD"))
    with Pulse.login(url, login, password) as client:
        run_once(client, options.to)
        while options.every is not None:
            time.sleep(options.every)
            run_once(client, options.to)


if __name__ == "__main__":
    try:
        main()
    except PulseError as error:
        sys.exit(f"digest_bot: {error}")
    except KeyboardInterrupt:
        print("stopped")
