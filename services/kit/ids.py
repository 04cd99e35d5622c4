"""Identifiers: UUIDv7, which sort by the time they were made."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from uuid_utils import uuid7 as native_uuid7
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUIDv7."""
    return uuid7()


def first_id_of(moment: datetime) -> UUID:
    """What sorts before all ids made from a moment on, and after those made before."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def new_text_id() -> str:
    """A new UUIDv7 as text, for what is never looked at as a UUID."""
    return str(native_uuid7())
