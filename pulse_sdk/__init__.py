"""The typed Python client of Pulse.

    from pulse_sdk import Pulse

    with Pulse.login("http://127.0.0.1:8000", "ada", password) as client:
        for post in client.feed.list():
            print(post.text)

`AsyncPulse` has the same methods for `async` code. `errors` draws the tree of what they raise;
the models they return are in `pulse_sdk.contract`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulse_sdk.auth import AsyncTokenSource, TokenSource
    from pulse_sdk.backoff import Backoff
    from pulse_sdk.breaker import Breaker, BreakerPolicy
    from pulse_sdk.client import AsyncPulse, Pulse
    from pulse_sdk.contract.users import Tokens
    from pulse_sdk.errors import (
        AnswerError,
        CircuitOpen,
        Conflict,
        ConnectionFailed,
        Forbidden,
        InvalidInput,
        InvalidRequest,
        NotAuthenticated,
        NotFound,
        PulseError,
        RateLimited,
        ServerError,
        TimedOut,
        UnreadableAnswer,
    )
    from pulse_sdk.hooks import Hooks
    from pulse_sdk.options import Retries
    from pulse_sdk.raw import Answer

    __version__: str
    """That of the package, `unknown` where it was not installed as one."""

__all__ = [
    "Answer",
    "AnswerError",
    "AsyncPulse",
    "AsyncTokenSource",
    "Backoff",
    "Breaker",
    "BreakerPolicy",
    "CircuitOpen",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "Hooks",
    "InvalidInput",
    "InvalidRequest",
    "NotAuthenticated",
    "NotFound",
    "Pulse",
    "PulseError",
    "RateLimited",
    "Retries",
    "ServerError",
    "TimedOut",
    "TokenSource",
    "Tokens",
    "UnreadableAnswer",
]

_ELSEWHERE = {
    "Answer": "raw",
    "AsyncPulse": "client",
    "AsyncTokenSource": "auth",
    "Backoff": "backoff",
    "Breaker": "breaker",
    "BreakerPolicy": "breaker",
    "Hooks": "hooks",
    "Pulse": "client",
    "Retries": "options",
    "TokenSource": "auth",
    "Tokens": "contract.users",
}

_MODULES = frozenset(
    {
        *("auth", "backoff", "breaker", "contract", "errors", "hooks", "options", "paging", "raw"),
        *("realtime", "testing"),
    }
)


def __getattr__(name: str) -> Any:
    """Import what is public when it is first used, so that importing the contract stays cheap."""
    if name in _MODULES:
        return import_module(f"pulse_sdk.{name}")
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"pulse_sdk.{_ELSEWHERE.get(name, 'errors')}")
    value = globals()[name] = getattr(module, name)
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pulse-platform")
    except PackageNotFoundError:  # as in a program that was packed into one file
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
