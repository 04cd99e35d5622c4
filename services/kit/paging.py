"""Cursors: opaque to callers, the sort key of the last item to us."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from pulse_sdk.contract.common import FieldError, Page
from services.kit.errors import ServiceError

Item = TypeVar("Item")


def page_of(found: list[Item], limit: int, key: Callable[[Item], str]) -> Page[Item]:
    """The page of what a query found that was asked for one item more than `limit`."""
    items = found[:limit]
    more = len(found) > limit
    return Page(items=items, next_cursor=encode_cursor(key(items[-1])) if more else None)


def encode_cursor(last: str) -> str:
    """The cursor that continues after the item with this sort key."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The sort key in a cursor.

    Raises:
        ServiceError: 422, it is not a cursor of ours.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_cursor() from None


def id_cursor(cursor: str | None) -> UUID | None:
    """The id in a cursor of a list that is sorted by id, None for the first page.

    Raises:
        ServiceError: 422, it is not a cursor of such a list.
    """
    if cursor is None:
        return None
    try:
        return UUID(decode_cursor(cursor))
    except ValueError:
        raise invalid_cursor() from None


def invalid_cursor() -> ServiceError:
    """422: the cursor is not one that the list gave."""
    message = "is not a cursor that this list gave; start without one"
    return ServiceError.invalid([FieldError(field="cursor", message=message)])
