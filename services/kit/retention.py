"""Deleting what is past its time: a little at a time, in the background, by every instance."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from services.kit.errors import ServiceError
from services.kit.observe import EXPIRED

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 6 * 3600.0
_PAUSE_SECONDS = 0.2
"""Between two batches: what is old can wait, requests cannot."""


async def expire(table: str, batch: Callable[[], Awaitable[int | None]]) -> None:
    """Run batches until there are no more, four times a day, until cancelled.

    A batch says how many rows it deleted; None when it was the last one. Instances begin at times
    of their own, so that they do not all do the same at once; it does no harm when they do.
    """
    while True:
        await asyncio.sleep(_PERIOD_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        try:
            while (deleted := await batch()) is not None:
                EXPIRED.labels(table).inc(deleted)
                await asyncio.sleep(_PAUSE_SECONDS)
        except ServiceError as error:
            log.warning("what is old in %s stays for now: %s", table, error)
        except Exception:  # whatever it is, the next time may be better
            log.exception("what is old in %s stays for now", table)
