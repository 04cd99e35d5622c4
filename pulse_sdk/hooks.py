"""What a program may watch of its calls: `Pulse(url, hooks=Hooks(response=seen))`.

The functions are plain ones for both clients, called where the call runs; they should be quick, and
what they raise ends the call. No token passes through them, but what was asked and answered does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pulse_sdk.errors import PulseError


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a call."""

    operation: str
    """The method that was called, such as `posts.create`; good as a label, as there are few."""
    method: str
    path: str
    number: int
    """From 1 on."""
    correlation_id: str
    """Finds the call in the server's logs; the same for all attempts of a call."""
    headers: dict[str, str] = field(repr=False)
    """What goes along besides the client's own headers; a request hook may add to it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered, whether or not it is a success."""

    status: int
    headers: Mapping[str, str]
    """Finds names whatever their case."""
    content: bytes = field(repr=False)
    """The body; empty when it was too large to be read."""
    whole: bool = True
    """Whether `content` is all of it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions to be told of each step of a call."""

    request: Callable[[Attempt], object] | None = None
    """Before an attempt is sent; may add to its `headers`, such as `traceparent`."""
    response: Callable[[Attempt, Reply], object] | None = None
    """When an attempt was answered, well or not."""
    retry: Callable[[Attempt, PulseError, float], object] | None = None
    """Before a call is repeated: the attempt that failed, why, and the seconds until the next."""
