"""Reminds people of events, from every instance of the service: whichever is first does it."""

from __future__ import annotations

import asyncio
import logging

from services.events.store import EventStore
from services.kit.errors import ServiceError

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 5.0


async def remind(store: EventStore) -> None:
    """Look for what begins soon until cancelled; while PostgreSQL is away nothing is lost."""
    while True:
        try:
            await store.remind()
        except ServiceError as error:
            log.warning("reminders wait: %s", error)
        except Exception:  # whatever it is, other events are still to be reminded of
            log.exception("reminders wait")
        await asyncio.sleep(_PERIOD_SECONDS)
