"""The client hears everything once while the messaging service is restarted and killed."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import psutil

from pulse_sdk import AsyncPulse, Pulse, Retries
from pulse_sdk.contract.messaging import MessageFrame
from pulse_sdk.realtime import AsyncFrames, Frames
from tests.conftest import RunningStack
from tests.connected.people import People
from tests.connected.wire import opened

COUNT = 60
THE_END = "The end"
PATIENT = Retries(limit=100)


def _kill(stack: RunningStack, component: str) -> None:
    """End a process as the machine's failure would; the stack starts it again."""
    listed = json.loads(stack.pulse("status", "--json").stdout)["components"]
    (pid,) = (one["pid"] for one in listed if one["name"] == component)
    psutil.Process(pid).kill()


async def test_nothing_is_lost_or_doubled_while_messaging_is_restarted_and_killed(
    people: People, stack: RunningStack
) -> None:
    ada, ben = await people.new(), await people.new()
    conversation = await opened(ada, ben)
    async with (
        asyncio.timeout(240),
        AsyncPulse(stack.gateway_url, token=ada.token, retries=PATIENT) as sender,
        AsyncPulse(stack.gateway_url, token=ben.token) as listener,
    ):
        with Pulse(stack.gateway_url, token=ben.token) as blocking:
            frames, other = listener.realtime.messages(after=0), blocking.realtime.messages(after=0)
            listening = asyncio.create_task(_hear(frames))
            waiting = asyncio.create_task(asyncio.to_thread(_hear_blocking, other))
            try:
                sent = await _send(stack, sender, conversation)
                assert await listening == sent
                assert await waiting == sent
            finally:
                other.close()
                listening.cancel()


async def _send(stack: RunningStack, sender: AsyncPulse, conversation: str) -> list[UUID]:
    """Send until every fault is over and a few more; the ids."""
    sent: list[UUID] = []
    faults: asyncio.Task[None] | None = None
    while len(sent) < COUNT or (faults is not None and not faults.done()):
        sent.append((await sender.conversations.send(conversation, f"{len(sent)}")).id)
        if len(sent) == COUNT // 4:
            faults = asyncio.create_task(_faults(stack))
        await asyncio.sleep(0.02)
    assert faults is not None
    await faults
    await sender.conversations.send(conversation, THE_END)
    return sent


async def _faults(stack: RunningStack) -> None:
    restarted = await asyncio.to_thread(stack.pulse, "restart", "messaging-0")
    assert restarted.returncode == 0, restarted.stderr
    await asyncio.sleep(0.5)
    await asyncio.to_thread(_kill, stack, "messaging-0")
    await asyncio.sleep(0.5)


async def _hear(messages: AsyncFrames[MessageFrame]) -> list[UUID]:
    heard = []
    async for message in messages:
        if message.data.text == THE_END:
            break
        heard.append(message.data.id)
    return heard


def _hear_blocking(messages: Frames[MessageFrame]) -> list[UUID]:
    heard = []
    for message in messages:
        if message.data.text == THE_END:
            break
        heard.append(message.data.id)
    return heard
