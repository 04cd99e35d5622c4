"""Events that people attend (what services tell each other is in `domain`)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from pulse_sdk.contract.common import RequestModel, ResponseModel, Text, Timestamp

Answer = Literal["yes", "maybe", "no"]


class CreateEvent(RequestModel):
    """A new event; `capacity` limits the answers `yes`."""

    title: Annotated[Text, Field(min_length=1, max_length=120)]
    description: Annotated[Text, Field(max_length=4000)] = ""
    location: Annotated[Text, Field(max_length=200)] = ""
    starts_at: AwareDatetime
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Event(ResponseModel):
    """An event with the number of its `yes` answers."""

    id: UUID
    creator_id: UUID
    title: str
    description: str
    location: str
    starts_at: Timestamp
    capacity: int | None
    attending: int
    created_at: Timestamp


class AnswerInvitation(RequestModel):
    """An answer to an event; may be changed."""

    answer: Answer


class Rsvp(ResponseModel):
    """The caller's answer to an event."""

    event_id: UUID
    user_id: UUID
    answer: Answer
    updated_at: Timestamp
