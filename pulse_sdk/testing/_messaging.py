"""Conversations and messages of the fake; its sockets are in `_sockets`."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.messaging import (
    MAX_MEMBERS,
    Conversation,
    MarkRead,
    Message,
    MessageFrame,
    OpenConversation,
    Presence,
    RenameConversation,
    SendMessage,
    UnreadMessages,
)
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._world import Member, Talk, World


def open_conversation(world: World, got: Received[OpenConversation, None]) -> Conversation:
    """Open a conversation; the one that two people have is found again."""
    members = sorted({got.caller, *got.body.member_ids})
    if len(members) == 1:
        raise Refusal.of_field("member_ids", "must name somebody other than yourself")
    is_group = len(members) > 2 or got.body.title is not None
    key = ("group", got.caller, got.key if is_group else None)
    if is_group:
        talk = world.talks.get(world.remembered(*key) or UUID(int=0))
        if talk is not None and talk.founders != members:
            raise _key_reused("group")
    else:
        direct = (t for t in world.talks.values() if not t.is_group and t.founders == members)
        talk = next(direct, None)
    if talk is None:
        if world.blocked(got.caller, members):
            raise _blocked()
        talk = Talk(
            id=world.new_id(),
            is_group=is_group,
            title=got.body.title,
            owner_id=got.caller if is_group else None,
            founders=members,
            created_at=world.now(),
            members={user_id: Member(world.now()) for user_id in members},
        )
        world.talks[talk.id] = talk
        world.remember(talk.id, *key)
    if got.caller not in talk.members:
        raise Refusal.not_found("conversation")
    return _seen(talk, got.caller)


def conversations(world: World, got: Received[None, PageQuery]) -> Page[Conversation]:
    """The caller's conversations, newest first."""
    found = [_seen(t, got.caller) for t in world.talks.values() if got.caller in t.members]
    return page(found, got.query, lambda talk: str(talk.id), newest_first=True)


def unread(world: World, got: Received[None, None]) -> UnreadMessages:
    """How many messages the caller has not read."""
    mine = [talk for talk in world.talks.values() if got.caller in talk.members]
    return UnreadMessages(unread=sum(_unread(talk, got.caller) for talk in mine))


def conversation(world: World, got: Received[None, None]) -> Conversation:
    """A conversation that the caller is in."""
    return _seen(_talk(world, got), got.caller)


def rename(world: World, got: Received[RenameConversation, None]) -> Conversation:
    """Give a group a new title."""
    talk = _group(world, got)
    talk.title = got.body.title
    return _seen(talk, got.caller)


def add_member(world: World, got: Received[None, None]) -> None:
    """Add somebody to a group, who then sees all that was said in it."""
    got.id("conversation_id")
    member_id = got.id("user_id")
    talk = _group(world, got)
    if member_id in talk.members:
        return
    if len(talk.members) >= MAX_MEMBERS:
        raise Refusal.conflict("group_full", f"A group has {MAX_MEMBERS} members at most.")
    if world.blocked(got.caller, [member_id]):
        raise _blocked()
    known = max((n for (u, _), n in talk.ordinals.items() if u == member_id), default=0)
    talk.members[member_id] = Member(world.now(), delivered=known, read=known)


def remove_member(world: World, got: Received[None, None]) -> None:
    """Leave a group, or remove somebody from one's own."""
    got.id("conversation_id")
    member_id = got.id("user_id")
    talk = _group(world, got)
    if got.caller not in (member_id, talk.owner_id):
        raise Refusal.forbidden("not_the_owner", "Only the group's owner removes others.")
    if talk.members.pop(member_id, None) is not None and member_id == talk.owner_id:
        oldest = sorted(talk.members, key=lambda u: (talk.members[u].joined_at, u))
        talk.owner_id = oldest[0] if oldest else None


def send(world: World, got: Received[SendMessage, None]) -> Message:
    """Say something in a conversation."""
    key = ("message", got.caller, got.key)
    before = world.messages.get(world.remembered(*key) or UUID(int=0))
    conversation_id, text = got.id("conversation_id"), got.body.text
    if before is not None:
        if (before.conversation_id, before.text) != (conversation_id, text):
            raise _key_reused("message")
        return before
    talk = _talk(world, got)
    if not talk.is_group and world.blocked(got.caller, talk.members):
        raise _blocked()
    message = Message(
        id=world.new_id(),
        conversation_id=talk.id,
        sender_id=got.caller,
        text=text,
        created_at=world.now(),
    )
    world.messages[message.id] = message
    world.remember(message.id, *key)
    talk.ordinals[got.caller, message.id] = talk.members[got.caller].delivered
    others = [user_id for user_id in sorted(talk.members) if user_id != got.caller]
    for user_id in others:
        deliver(world, user_id, message)
    about = {"conversation_id": talk.id, "message_id": message.id}
    world.notify(others, "message", got.caller, about)
    return message


def deliver(world: World, user_id: UUID, message: Message) -> None:
    """Put a message into somebody's inbox, and show it if they are connected."""
    talk = world.talks[message.conversation_id]
    talk.members[user_id].delivered += 1
    talk.ordinals[user_id, message.id] = talk.members[user_id].delivered
    world.inboxes[user_id].append(message)
    world.tell(user_id, MessageFrame(position=len(world.inboxes[user_id]), data=message))


def messages(world: World, got: Received[None, PageQuery]) -> Page[Message]:
    """What was said in a conversation, newest first."""
    talk = _talk(world, got)
    found = [m for m in world.messages.values() if m.conversation_id == talk.id]
    return page(found, got.query, lambda message: str(message.id), newest_first=True)


def mark_read(world: World, got: Received[MarkRead, None]) -> UnreadMessages:
    """Mark all up to a message as read."""
    talk = _talk(world, got)
    message = world.messages.get(got.body.message_id)
    if message is None or message.conversation_id != talk.id:
        raise Refusal.not_found("message")
    member = talk.members[got.caller]
    member.read = max(member.read, talk.ordinals.get((got.caller, message.id), 0))
    return UnreadMessages(unread=_unread(talk, got.caller))


def presence(world: World, got: Received[None, None]) -> Presence:
    """Which other members are connected, but none with whom there is a block."""
    talk = _talk(world, got)
    others = [u for u in sorted(talk.members) if u != got.caller]
    online = [u for u in others if world.online(u) and not world.blocked(got.caller, [u])]
    return Presence(online=online)


def _talk(world: World, got: Received[object, object]) -> Talk:
    talk = world.talks.get(got.id("conversation_id"))
    if talk is None or got.caller not in talk.members:
        raise Refusal.not_found("conversation")
    return talk


def _group(world: World, got: Received[object, object]) -> Talk:
    talk = _talk(world, got)
    if not talk.is_group:
        raise Refusal.conflict("not_a_group", "Two people's conversation cannot be changed.")
    return talk


def _unread(talk: Talk, user_id: UUID) -> int:
    return talk.members[user_id].delivered - talk.members[user_id].read


def _seen(talk: Talk, user_id: UUID) -> Conversation:
    return Conversation(
        id=talk.id,
        kind="group" if talk.is_group else "direct",
        title=talk.title,
        owner_id=talk.owner_id,
        member_ids=sorted(talk.members),
        created_at=talk.created_at,
        unread=_unread(talk, user_id),
    )


def _key_reused(what: str) -> Refusal:
    detail = f"This Idempotency-Key was used for another {what}."
    return Refusal.conflict("idempotency_key_reused", detail)


def _blocked() -> Refusal:
    return Refusal.forbidden("blocked", "One of you has blocked the other.")


_CONVERSATIONS = "/api/v1/conversations"
_ONE = f"{_CONVERSATIONS}/{{conversation_id}}"
_MEMBER = f"{_ONE}/members/{{user_id}}"

ENDPOINTS = (
    Endpoint("POST", _CONVERSATIONS, open_conversation, body=OpenConversation, status=201),
    Endpoint("GET", _CONVERSATIONS, conversations, query=PageQuery),
    Endpoint("GET", f"{_CONVERSATIONS}/unread", unread),
    Endpoint("GET", _ONE, conversation),
    Endpoint("PATCH", _ONE, rename, body=RenameConversation),
    Endpoint("PUT", _MEMBER, add_member),
    Endpoint("DELETE", _MEMBER, remove_member),
    Endpoint("POST", f"{_ONE}/messages", send, body=SendMessage, status=201),
    Endpoint("GET", f"{_ONE}/messages", messages, query=PageQuery),
    Endpoint("PUT", f"{_ONE}/read", mark_read, body=MarkRead),
    Endpoint("GET", f"{_ONE}/presence", presence),
)
