"""Conversations, messages and the WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any
from uuid import UUID

from pulse_sdk.contract.messaging import MAX_MEMBERS
from tests.contract.cast import NOTHING, Cast, refused

_SECONDS = 20.0


async def two_people_have_one_conversation(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    talk = await ada.pulse.conversations.open([ben.user.id])
    await ben.pulse.conversations.open([ada.user.id, ada.user.id])
    await ada.pulse.conversations.send(talk.id, " Are you there? ", idempotency_key="one")
    sent = await ada.pulse.conversations.send(talk.id, "Are you there?", idempotency_key="one")
    await refused(ada.pulse.conversations.send(talk.id, "Or not?", idempotency_key="one"))
    last = await ada.pulse.conversations.send(talk.id, "Hello?")
    await ben.pulse.conversations.get(talk.id)
    await ben.pulse.conversations.unread()
    page = await ben.pulse.conversations.messages(talk.id, limit=1).page()
    await ben.pulse.conversations.messages(talk.id, limit=1, cursor=page.next_cursor).page()
    await ben.pulse.conversations.mark_read(talk.id, sent.id)
    await ben.pulse.conversations.mark_read(talk.id, last.id)
    await ben.pulse.conversations.mark_read(talk.id, sent.id)
    await ben.pulse.conversations.list().page()
    await ben.pulse.conversations.presence(talk.id)
    for call in (
        cleo.pulse.conversations.get(talk.id),
        cleo.pulse.conversations.send(talk.id, "Me, too"),
        cleo.pulse.conversations.messages(talk.id).page(),
        cleo.pulse.conversations.mark_read(talk.id, sent.id),
        cleo.pulse.conversations.presence(talk.id),
        ben.pulse.conversations.mark_read(talk.id, NOTHING),
        ben.pulse.conversations.get(NOTHING),
        ben.pulse.conversations.rename(talk.id, "Us"),
        ben.pulse.conversations.add_member(talk.id, cleo.user.id),
        ben.pulse.conversations.remove_member(talk.id, ada.user.id),
        ben.pulse.conversations.open([ben.user.id]),
    ):
        await refused(call)


async def a_group_has_an_owner_and_a_title(cast: Cast) -> None:
    ada, ben, cleo, dora = await cast.join("ada", "ben", "cleo", "dora")
    members = [ben.user.id, cleo.user.id]
    group = await ada.pulse.conversations.open(members, title="We", idempotency_key="one")
    await ada.pulse.conversations.open(members, title="Us", idempotency_key="one")
    await refused(ada.pulse.conversations.open([dora.user.id], title="We", idempotency_key="one"))
    before = await ada.pulse.conversations.send(group.id, "Hello, all")
    await ben.pulse.conversations.rename(group.id, "All of us")
    await ben.pulse.conversations.add_member(group.id, dora.user.id)
    await ben.pulse.conversations.add_member(group.id, dora.user.id)
    await dora.pulse.conversations.get(group.id)
    await dora.pulse.conversations.mark_read(group.id, before.id)
    await ben.pulse.conversations.send(group.id, "Welcome")
    await dora.pulse.conversations.unread()
    await refused(ben.pulse.conversations.remove_member(group.id, cleo.user.id))
    await ada.pulse.conversations.remove_member(group.id, cleo.user.id)
    await ada.pulse.conversations.remove_member(group.id, cleo.user.id)
    await refused(cleo.pulse.conversations.get(group.id))
    await ada.pulse.conversations.add_member(group.id, cleo.user.id)
    await cleo.pulse.conversations.get(group.id)
    await ada.pulse.conversations.remove_member(group.id, ada.user.id)
    await ben.pulse.conversations.get(group.id)
    await refused(ada.pulse.conversations.open(members, title="We", idempotency_key="one"))
    await ada.pulse.conversations.list().page()
    await ada.pulse.conversations.open([dora.user.id], title="Two and a title")


async def a_group_can_be_full(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    many = [UUID(int=(0x019 << 116) + number) for number in range(MAX_MEMBERS)]
    group = await ada.pulse.conversations.open(many[1:], title="Full")
    await refused(ada.pulse.conversations.add_member(group.id, ben.user.id))
    await ada.pulse.conversations.add_member(group.id, many[1])


async def who_is_blocked_says_nothing(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    talk = await ada.pulse.conversations.open([ben.user.id])
    group = await ada.pulse.conversations.open([ben.user.id, cleo.user.id])
    await ben.pulse.social.block(ada.user.id)
    await cleo.pulse.social.block(ada.user.id)

    async def sends() -> int:
        path = f"/api/v1/conversations/{talk.id}/messages"
        return (await ada.http.post(path, json={"text": "Hello?"})).status_code

    async def opens() -> int:
        body = {"member_ids": [str(cleo.user.id)]}
        return (await ada.http.post("/api/v1/conversations", json=body)).status_code

    # Opening one that exists never fails, so it is asked whether messaging knows by then.
    await cast.until(sends, lambda status: status == 403)
    await cast.until(opens, lambda status: status == 403)
    await refused(ben.pulse.conversations.send(talk.id, "Hello?"))
    await ada.pulse.conversations.open([ben.user.id])
    await ada.pulse.conversations.send(group.id, "In a group, all are heard")
    await refused(ada.pulse.conversations.open([ben.user.id], title="A new one"))
    await ada.pulse.conversations.presence(talk.id)


async def messages_arrive_live_and_after_a_position(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    talk = await ada.pulse.conversations.open([ben.user.id])
    await ada.pulse.conversations.send(talk.id, "Before")
    async with ben.pulse.realtime.messages() as frames:
        await ada.pulse.conversations.send(talk.id, "One")
        await ada.pulse.conversations.send(talk.id, "Two")
        for _ in range(2):
            cast.heard(await _next(frames))
        await cast.until(
            lambda: ada.pulse.conversations.presence(talk.id), lambda found: bool(found.online)
        )
    await ada.pulse.conversations.send(talk.id, "While away")
    async with ben.pulse.realtime.messages(after=1) as frames:
        for _ in range(3):
            cast.heard(await _next(frames))
    await cast.until(
        lambda: ada.pulse.conversations.presence(talk.id), lambda found: not found.online
    )


async def the_stream_tells_more_than_messages(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    talk = await ada.pulse.conversations.open([ben.user.id])
    async with ada.pulse.realtime.frames() as frames:
        async with ben.pulse.realtime.frames() as others:
            cast.heard(await _next(frames, "presence"))
            await others.typing(talk.id)
            cast.heard(await _next(frames, "typing"))
            await others.typing(NOTHING)
            cast.heard(await _next(others, "error"))
            await ben.pulse.social.follow(ada.user.id)
            cast.heard(await _next(frames, "notification"))
        cast.heard(await _next(frames, "presence"))


async def a_socket_needs_a_token(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    await ada.http.get("/api/v1/ws", headers={"Authorization": ""})
    await ada.http.get("/api/v1/ws")
    error = await refused(_next(cast.stranger().realtime.messages()))
    cast.record.append({"status": error.status, "code": error.code})


async def _next(frames: AsyncIterable[Any], kind: str = "message") -> Any:
    """The next frame of a kind."""
    async with asyncio.timeout(_SECONDS):
        async for frame in frames:
            if frame.type == kind:
                return frame
    raise AssertionError("the frames ended")


BEHAVIOURS = (
    two_people_have_one_conversation,
    a_group_has_an_owner_and_a_title,
    a_group_can_be_full,
    who_is_blocked_says_nothing,
    messages_arrive_live_and_after_a_position,
    the_stream_tells_more_than_messages,
    a_socket_needs_a_token,
)
