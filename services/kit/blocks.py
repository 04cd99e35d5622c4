"""Who blocked whom, as a service keeps it that is not to ask for it: social's events tell.

The table (in each such service's migrations) has one row for each pair of whom there was a block;
an unblocking is kept too, so that an older blocking that arrives after it changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from pulse_sdk.contract.domain import DomainEvent, EventType, UserBlockedEvent, UserUnblockedEvent
from services.kit.db import Database, Query

TYPES: tuple[EventType, ...] = ("user.blocked", "user.unblocked")
"""The events that tell of blocks."""

_CHANGE = Query(
    "blocks_change",
    """INSERT INTO blocks (blocker_id, blocked_id, active, changed_at)
    VALUES (%(blocker_id)s, %(blocked_id)s, %(active)s, %(changed_at)s)
    ON CONFLICT (blocker_id, blocked_id) DO UPDATE
    SET active = excluded.active, changed_at = excluded.changed_at
    WHERE blocks.changed_at < excluded.changed_at""",
)


def blocked(others: str) -> str:
    """SQL: whether one of `others`, an array, and %(user_id)s have blocked one another."""
    return f"""(EXISTS (SELECT FROM blocks WHERE active
            AND blocker_id = %(user_id)s AND blocked_id = ANY({others}))
        OR EXISTS (SELECT FROM blocks WHERE active
            AND blocker_id = ANY({others}) AND blocked_id = %(user_id)s))"""  # noqa: S608 - see callers


BETWEEN = Query("blocks_between", f"SELECT {blocked('%(others)s::uuid[]')}")


class Blocks:
    """Keeps blocks, and tells of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, events: list[DomainEvent]) -> None:
        """Note who blocked whom; of several changes of a pair the latest stands, in any order."""
        for event in events:
            if isinstance(event, UserBlockedEvent | UserUnblockedEvent):
                params = {
                    "blocker_id": event.data.blocker_id,
                    "blocked_id": event.data.blocked_id,
                    "active": event.type == "user.blocked",
                    "changed_at": event.time,
                }
                await self._database.execute(_CHANGE, params)

    async def between(self, user_id: UUID, others: Collection[UUID]) -> bool:
        """Whether somebody and one of others have blocked one another."""
        strangers = [other for other in others if other != user_id]
        if not strangers:
            return False
        params = {"user_id": user_id, "others": strangers}
        ((found,),) = await self._database.rows(BETWEEN, params)
        return bool(found)
