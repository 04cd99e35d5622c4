"""Notifications as they are made, on the WebSocket that messages arrive on.

The messaging service holds the sockets; it is told, in batches, what to show to whom. Showing is
best effort: what is not shown is in the list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from pulse_sdk.contract.internal import MAX_BATCH, Shown, ShowNotification, ShowNotifications
from pulse_sdk.contract.notifications import Notification
from services.kit.errors import ServiceError
from services.kit.peers import Peers

log = logging.getLogger(__name__)

_LINGER_SECONDS = 0.05
"""How long a batch is gathered: a call costs the same for one as for a hundred."""
_CALL_SECONDS = 1.0
_MOST_WAITING = 10_000


class Live:
    """Shows notifications to those who are connected."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._waiting: deque[tuple[UUID, Notification]] = deque(maxlen=_MOST_WAITING)
        self._written = asyncio.Event()

    def show(self, made: Iterable[tuple[UUID, Notification]]) -> None:
        """Have people shown what was made for them, shortly."""
        self._waiting.extend(made)
        self._written.set()

    async def run(self) -> None:
        """Show what waits until cancelled."""
        while True:
            await self._written.wait()
            await asyncio.sleep(_LINGER_SECONDS)
            self._written.clear()
            while self._waiting:
                await self._show_batch()

    async def _show_batch(self) -> None:
        count = min(len(self._waiting), MAX_BATCH)
        batch = [self._waiting.popleft() for _ in range(count)]
        body = ShowNotifications(
            items=[ShowNotification(user_id=user_id, notification=told) for user_id, told in batch]
        )
        try:
            await self._peers.call(
                "messaging",
                "/internal/notifications",
                Shown.model_validate_json,
                body=body,
                seconds=_CALL_SECONDS,
            )
        except ServiceError as error:
            log.warning("%d notifications were not shown live: %s", count, error)
