"""Rules of conversations, who is in them and what is said there."""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page, PageQuery
from pulse_sdk.contract.internal import Shown, ShowNotifications
from pulse_sdk.contract.messaging import (
    MAX_MEMBERS,
    Conversation,
    MarkRead,
    Message,
    OpenConversation,
    Presence,
    RenameConversation,
    SendMessage,
    UnreadMessages,
)
from pulse_sdk.contract.notifications import Notification, NotificationFrame
from services.kit.auth import Identity
from services.kit.errors import ServiceError
from services.kit.paging import id_cursor, page_of
from services.messaging.live import EPHEMERAL, Live, message_frame
from services.messaging.mail import MailStore
from services.messaging.presence import PresenceBoard
from services.messaging.store import Change, ConversationStore, was_blocked


class MessagingService:
    """Conversations and what is said in them. Who is added to a group sees all of its past.

    Every rule about membership is decided by the statement that needs it, on the rows as they
    are; no membership is cached anywhere, so none can be stale.
    """

    def __init__(
        self, store: ConversationStore, mail: MailStore, live: Live, presence: PresenceBoard
    ) -> None:
        self._store = store
        self._mail = mail
        self._live = live
        self._presence = presence

    async def open(
        self, caller: Identity, wanted: OpenConversation, key: str | None
    ) -> Conversation:
        """Open a conversation between the caller and others; the same `key` opens one group.

        Raises:
            ServiceError: 422, nobody else is in it; 403 `blocked`; 409 `idempotency_key_reused`,
                the key was used for a group of others; 404, for one that the caller has left.
        """
        members = sorted({caller.user_id, *wanted.member_ids})
        if len(members) == 1:
            message = "must name somebody other than yourself"
            raise ServiceError.invalid([FieldError(field="member_ids", message=message)])
        if len(members) == 2 and wanted.title is None:
            conversation_id = await self._store.open_direct(caller.user_id, members)
        else:
            opened = await self._store.open_group(caller.user_id, members, wanted.title, key)
            if opened.founder_ids != members:
                raise _key_reused("group")
            conversation_id = opened.id
        return await self._store.conversation(caller.user_id, conversation_id)

    async def conversation(self, caller: Identity, conversation_id: UUID) -> Conversation:
        """A conversation that the caller is in.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member.
        """
        return await self._store.conversation(caller.user_id, conversation_id)

    async def conversations(self, caller: Identity, page: PageQuery) -> Page[Conversation]:
        """The caller's conversations, newest first."""
        found = await self._store.conversations(
            caller.user_id, id_cursor(page.cursor), page.limit + 1
        )
        return page_of(found, page.limit, lambda item: str(item.id))

    async def rename(
        self, caller: Identity, conversation_id: UUID, wanted: RenameConversation
    ) -> Conversation:
        """Give a group a new title; any member may.

        Raises:
            ServiceError: 404 `conversation_not_found`; 409 `not_a_group`.
        """
        renamed = await self._store.rename(caller.user_id, conversation_id, wanted.title)
        conversation = await self._store.conversation(caller.user_id, conversation_id)
        if not renamed:
            raise _not_a_group()
        return conversation

    async def add_member(self, caller: Identity, conversation_id: UUID, member_id: UUID) -> None:
        """Add somebody to a group; any member may. Adding a member again changes nothing.

        Raises:
            ServiceError: 404 `conversation_not_found`; 409 `not_a_group`; 409 `group_full`; 403
                `blocked`, the two have blocked one another.
        """
        change = await self._store.add(caller.user_id, conversation_id, member_id)
        change = _of_a_group(caller, change)
        if change.made or member_id in change.members:
            return
        if len(change.members) >= MAX_MEMBERS:
            raise ServiceError.conflict("group_full", f"A group has {MAX_MEMBERS} members at most.")
        raise was_blocked()

    async def remove_member(self, caller: Identity, conversation_id: UUID, member_id: UUID) -> None:
        """Leave a group, or remove somebody from one's own. Who is not in it stays so.

        Raises:
            ServiceError: 404 `conversation_not_found`; 409 `not_a_group`; 403 `not_the_owner`.
        """
        change = await self._store.remove(caller.user_id, conversation_id, member_id)
        change = _of_a_group(caller, change)
        if caller.user_id not in (member_id, change.owner_id):
            raise ServiceError.forbidden("not_the_owner", "Only the group's owner removes others.")

    async def send(
        self, caller: Identity, conversation_id: UUID, message: SendMessage, key: str | None
    ) -> Message:
        """Say something in a conversation; the same `key` says it once.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member; 403 `blocked`;
                409 `idempotency_key_reused`, the key was used for something else.
        """
        sent = await self._mail.send(caller.user_id, conversation_id, message.text, key)
        if sent is not None:
            data = sent.message.model_dump_json()
            await self._live.publish(
                (user_id, position, message_frame(position, data))
                for user_id, position in sent.positions.items()
            )
            return sent.message
        before = None if key is None else await self._mail.sent_with(caller.user_id, key)
        if before is None:
            blocked = await self._store.is_blocked(caller.user_id, conversation_id)
            if blocked is False:  # it is allowed by now: the caller was added meanwhile
                return await self.send(caller, conversation_id, message, key)
            raise ServiceError.not_found("conversation") if blocked is None else was_blocked()
        if (before.conversation_id, before.text) != (conversation_id, message.text):
            raise _key_reused("message")
        return before

    async def messages(
        self, caller: Identity, conversation_id: UUID, page: PageQuery
    ) -> Page[Message]:
        """What was said in a conversation, newest first.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member.
        """
        before = id_cursor(page.cursor)
        await self._require_member(caller, conversation_id)
        found = await self._mail.messages(conversation_id, before, page.limit + 1)
        return page_of(found, page.limit, lambda item: str(item.id))

    async def mark_read(
        self, caller: Identity, conversation_id: UUID, mark: MarkRead
    ) -> UnreadMessages:
        """Mark all up to a message as read; an older mark than the last changes nothing.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member; 404
                `message_not_found`.
        """
        left = await self._mail.mark_read(caller.user_id, conversation_id, mark.message_id)
        if left is None:
            await self._require_member(caller, conversation_id)
            raise ServiceError.not_found("message")
        return UnreadMessages(unread=left)

    async def unread(self, caller: Identity) -> UnreadMessages:
        """How many messages the caller has not read, in all conversations."""
        return UnreadMessages(unread=await self._mail.unread(caller.user_id))

    async def presence(self, caller: Identity, conversation_id: UUID) -> Presence:
        """Which other members are connected, but none whom the caller and they have blocked.

        Raises:
            ServiceError: 404 `conversation_not_found`, also for who is no member.
        """
        await self._require_member(caller, conversation_id)
        others = await self._store.company(caller.user_id, conversation_id)
        return Presence(online=await self._presence.online(others))

    async def show(self, wanted: ShowNotifications) -> Shown:
        """Show notifications to those who are connected."""
        await self._live.publish(
            (item.user_id, EPHEMERAL, _notification_frame(item.notification))
            for item in wanted.items
        )
        return Shown()

    async def _require_member(self, caller: Identity, conversation_id: UUID) -> None:
        if not await self._store.is_member(caller.user_id, conversation_id):
            raise ServiceError.not_found("conversation")


def _of_a_group(caller: Identity, change: Change | None) -> Change:
    """The change, unless it was none of a group that the caller is in."""
    if change is None or caller.user_id not in change.members:
        raise ServiceError.not_found("conversation")
    if not change.is_group:
        raise _not_a_group()
    return change


def _notification_frame(notification: Notification) -> bytes:
    return NotificationFrame(data=notification).model_dump_json().encode()


def _not_a_group() -> ServiceError:
    return ServiceError.conflict("not_a_group", "Two people's conversation cannot be changed.")


def _key_reused(what: str) -> ServiceError:
    detail = f"This Idempotency-Key was used for another {what}."
    return ServiceError.conflict("idempotency_key_reused", detail)
