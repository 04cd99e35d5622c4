"""A bot that answers every message with its own words.

    PULSE_URL=http://127.0.0.1:8000 PULSE_LOGIN=echo PULSE_PASSWORD=... python examples/echo_bot.py

`echo_bot.json`, or what `ECHO_BOT_MEMORY` names, keeps what the bot needs to go on after a restart:
its session, so that the password is needed once, and how far it has answered, so that whoever wrote
meanwhile is answered too. Ctrl-C ends it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from pydantic import BaseModel

from pulse_sdk import AsyncPulse, Forbidden, NotAuthenticated, NotFound, PulseError, Tokens
from pulse_sdk.contract.messaging import Message

FILE = Path(os.environ.get("ECHO_BOT_MEMORY", "echo_bot.json"))


class Memory(BaseModel):
    """What outlives the process."""

    tokens: Tokens | None = None
    position: int | None = None

    def keep(self, **news: object) -> None:
        """Change it, and replace the private file by rename: it is whole whatever happens."""
        for name, value in news.items():
            setattr(self, name, value)
        new = FILE.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(self.model_dump_json())
        new.replace(FILE)


async def answer(client: AsyncPulse, message: Message) -> None:
    """Answer once: the key makes the answer to the same message the same, even after a crash."""
    if message.text.startswith("You said: "):
        return  # Another echo; one of the two must stop.
    text, key = f"You said: {message.text}"[:4000], f"echo-{message.id}"
    try:
        await client.conversations.send(message.conversation_id, text, idempotency_key=key)
    except (Forbidden, NotFound) as refused:  # The sender blocks the bot, or the group is gone.
        print(f"not answered: {refused}", file=sys.stderr)


async def run(memory: Memory) -> None:
    """Resume the session that is remembered, or log in, and answer until cancelled."""

    def keep(tokens: Tokens | None) -> None:  # Each is exchanged for the next: save every new pair.
        memory.keep(tokens=tokens)

    url = setting("PULSE_URL")
    async with AsyncPulse(url, token=memory.tokens, on_tokens=keep, retries=20) as client:
        if memory.tokens is None:
            await client.auth.login(setting("PULSE_LOGIN"), setting("PULSE_PASSWORD"))
        async with client.realtime.messages(after=memory.position) as messages:
            memory.keep(position=messages.position)
            print("listening", flush=True)
            async for message in messages:
                await answer(client, message.data)
                memory.keep(position=message.position)


def setting(name: str) -> str:
    """A variable of the environment."""
    return os.environ.get(name) or sys.exit(f"echo_bot: set {name}")


if __name__ == "__main__":
    memory = Memory.model_validate_json(FILE.read_text()) if FILE.exists() else Memory()
    try:
        asyncio.run(run(memory))
    except NotAuthenticated as refused:
        memory.keep(tokens=None)  # The next start logs in.
        sys.exit(f"echo_bot: {refused}")
    except PulseError as error:
        sys.exit(f"echo_bot: {error}")
    except KeyboardInterrupt:
        print("stopped")
