"""Events that people attend (what services tell each other is in `domain`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from pulse_sdk.contract.common import PageQuery, RequestModel, ResponseModel, Text, Timestamp

Answer = Literal["yes", "maybe", "no"]
GivenAnswer = Literal["yes", "maybe", "no", "waiting"]
"""How an answer stands: `waiting` is a `yes` that had no place yet."""

Title = Annotated[Text, Field(min_length=1, max_length=120)]
Description = Annotated[Text, Field(max_length=4000)]
Location = Annotated[Text, Field(max_length=200)]
Capacity = Annotated[int, Field(ge=1, le=1_000_000)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
"""Degrees, north positive (WGS 84)."""
Longitude = Annotated[float, Field(ge=-180, le=180)]
"""Degrees, east positive (WGS 84)."""


class CreateEvent(RequestModel):
    """A new event; `capacity` limits the answers `yes`."""

    title: Title
    description: Description = ""
    location: Location = ""
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    starts_at: AwareDatetime
    capacity: Capacity | None = None

    @model_validator(mode="after")
    def _on_the_map(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude are given together")
        return self


class EditEvent(RequestModel):
    """What is to change of an event; what is left out stays.

    `capacity` null lifts the limit; `latitude` and `longitude` null take it off the map.
    """

    title: Title | None = None
    description: Description | None = None
    location: Location | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    starts_at: AwareDatetime | None = None
    capacity: Capacity | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("title", "description", "location", "starts_at"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        one = "latitude" in self.model_fields_set, self.latitude is None
        if one != ("longitude" in self.model_fields_set, self.longitude is None):
            raise ValueError("latitude and longitude are given together")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Also null, which the SDK leaves out of other bodies.
        dumped = dump(self)
        return {name: dumped.get(name) for name in self.model_fields_set}


class Event(ResponseModel):
    """An event with the number of its `yes` answers and of those who wait for a place."""

    id: UUID
    creator_id: UUID
    title: str
    description: str
    location: str
    latitude: float | None = None
    longitude: float | None = None
    starts_at: Timestamp
    capacity: int | None
    attending: int
    waiting: int = 0
    version: int = 1
    """Grows with every edit; as an `ETag` it also guards one (`If-Match`)."""
    cancelled_at: Timestamp | None = None
    created_at: Timestamp


class EventsQuery(PageQuery):
    """Which events are wanted: those that have not begun, unless a time is given."""

    starts_after: AwareDatetime | None = None
    starts_before: AwareDatetime | None = None
    text: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Words of title, description or location; `"in quotes"` a phrase, `or`, `-not`."""
    place: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Words that are all in the location."""
    south: Latitude | None = None
    north: Latitude | None = None
    west: Longitude | None = None
    east: Longitude | None = None
    """Less than `west` when the box crosses the date line."""

    @model_validator(mode="after")
    def _whole_box(self) -> Self:
        sides = (self.south, self.north, self.west, self.east)
        if any(side is None for side in sides) and any(side is not None for side in sides):
            raise ValueError("south, north, west and east are given together")
        return self


class AnswerInvitation(RequestModel):
    """An answer to an event; may be changed."""

    answer: Answer


class Rsvp(ResponseModel):
    """The caller's answer to an event."""

    event_id: UUID
    user_id: UUID
    answer: GivenAnswer | str
    position: int | None = None
    """The place in the waiting list, from 1, while `answer` is `waiting`."""
    updated_at: Timestamp


class AttendeesQuery(PageQuery):
    """Whose answers are wanted."""

    answer: GivenAnswer = "yes"


class Attendee(ResponseModel):
    """Somebody's answer to an event."""

    user_id: UUID
    answer: GivenAnswer | str
    updated_at: Timestamp
