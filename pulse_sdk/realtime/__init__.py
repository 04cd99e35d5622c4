"""Messages as they are sent, over a WebSocket.

    async for message in client.realtime.messages():
        print(message.data.text)

and with `Pulse` the same without `async`. A connection that breaks is opened again, with backoff,
until the loop ends, and what was sent meanwhile comes first: no message is left out and none comes
twice. Each message has a `position`; `messages(after=position)` continues there, also in another
process.

The connection is made when the loop begins, and closed when it ends in whatever way: `break`, an
exception, a cancelled task, a client that is closed. In a `with` block (`async with` for
`AsyncPulse`) it is made at the block's beginning, so that nothing sent from there on is missed, and
closed at its end:

    async with client.realtime.messages() as messages:
        await client.conversations.send(conversation_id, "Anybody there?")
        answer = await anext(messages)

A reader that is slow holds up the server, not memory: at most a few dozen frames wait on this
side. One that is so slow that the server or the heartbeat cuts it off connects again and continues
where it was.
"""

from __future__ import annotations

from typing import Any, overload

import pulse_sdk
from pulse_sdk.contract.messaging import (
    ErrorFrame,
    MessageFrame,
    PresenceFrame,
    TypingFrame,
)
from pulse_sdk.contract.notifications import NotificationFrame
from pulse_sdk.realtime._iterators import AsyncFrames, Frames
from pulse_sdk.resources._base import ClientT_co, Resource

__all__ = ["AsyncFrames", "Frames", "LiveFrame", "Realtime"]

LiveFrame = MessageFrame | TypingFrame | PresenceFrame | ErrorFrame | NotificationFrame
"""What the service tells of; `ErrorFrame` answers a signal of the caller that had no effect."""

DEFAULT_HEARTBEAT = 10.0
"""Seconds. Proxies cut connections that are quiet for a minute; a ping is 6 bytes."""

_MESSAGES = (MessageFrame,)
_EVERYTHING = (MessageFrame, TypingFrame, PresenceFrame, ErrorFrame, NotificationFrame)


class Realtime(Resource[ClientT_co]):
    """Messages as they are sent."""

    @overload
    def messages(
        self: Realtime[pulse_sdk.Pulse],
        *,
        after: int | None = None,
        heartbeat: float = DEFAULT_HEARTBEAT,
    ) -> Frames[MessageFrame]: ...
    @overload
    def messages(
        self: Realtime[pulse_sdk.AsyncPulse],
        *,
        after: int | None = None,
        heartbeat: float = DEFAULT_HEARTBEAT,
    ) -> AsyncFrames[MessageFrame]: ...
    def messages(
        self, *, after: int | None = None, heartbeat: float = DEFAULT_HEARTBEAT
    ) -> Frames[MessageFrame] | AsyncFrames[MessageFrame]:
        """Every message that others send to the caller, from now on or after a position.

        The server is asked for a sign of life every `heartbeat` seconds, and has as many to give
        it: a connection that died silently is noticed, and made again, within twice that and a
        second.
        """
        client: Any = self._client
        messages: Frames[MessageFrame] = client.listen(_MESSAGES, after, heartbeat)
        return messages

    @overload
    def frames(
        self: Realtime[pulse_sdk.Pulse],
        *,
        after: int | None = None,
        heartbeat: float = DEFAULT_HEARTBEAT,
    ) -> Frames[LiveFrame]: ...
    @overload
    def frames(
        self: Realtime[pulse_sdk.AsyncPulse],
        *,
        after: int | None = None,
        heartbeat: float = DEFAULT_HEARTBEAT,
    ) -> AsyncFrames[LiveFrame]: ...
    def frames(
        self, *, after: int | None = None, heartbeat: float = DEFAULT_HEARTBEAT
    ) -> Frames[LiveFrame] | AsyncFrames[LiveFrame]:
        """The same messages; while connected also notifications, and who writes, comes and goes."""
        client: Any = self._client
        frames: Frames[LiveFrame] = client.listen(_EVERYTHING, after, heartbeat)
        return frames
