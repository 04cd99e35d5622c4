"""What can go wrong for a person at the command line, and the exit code that says so.

    PulseError                  1  an unexpected error
    ├── ConfigError             2  the command line or the configuration is wrong
    ├── CheckFailed             3  a check failed: the platform missed a target
    ├── Inconclusive            4  the measurement cannot be trusted either way
    ├── MissingComponent        5  a component is missing (`pulse doctor --fix` mends it)
    ├── NotHealthy              6  the stack is not running or not healthy
    ├── Unusable                7  a port or a folder cannot be used
    └── Refused                 8  the platform refused what was asked of it

130 is an interrupt (Ctrl-C). Every message is one sentence: what, where, how to mend it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `pulse`: the one table, shown below `pulse --help`."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Make a member that is its number and knows its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "ok"
    UNEXPECTED = 1, "an unexpected error"
    USAGE = 2, "the command line or the configuration is wrong"
    FAILED = 3, "a check failed: the platform missed a target"
    INCONCLUSIVE = 4, "the measurement cannot be trusted either way"
    MISSING = 5, "a component is missing (pulse doctor --fix)"
    NOT_HEALTHY = 6, "the stack is not running or not healthy"
    UNUSABLE = 7, "a port or a folder cannot be used"
    REFUSED = 8, "the platform refused: not logged in, not allowed, not found, a conflict"
    INTERRUPTED = 130, "interrupted"


class PulseError(Exception):
    """The base: one sentence for a person, and the exit code of the process."""

    exit_code: int = ExitCode.UNEXPECTED


class ConfigError(PulseError):
    """The command line, `pulse.toml` or a `PULSE_*` variable is wrong."""

    exit_code = ExitCode.USAGE


class CheckFailed(PulseError):
    """The platform was measured and missed a target."""

    exit_code = ExitCode.FAILED


class Inconclusive(PulseError):
    """The measurement itself cannot be trusted."""

    exit_code = ExitCode.INCONCLUSIVE


class MissingComponent(PulseError):
    """A program that the stack needs is not installed."""

    exit_code = ExitCode.MISSING


class NotHealthy(PulseError):
    """The stack is not running, or part of it is not healthy."""

    exit_code = ExitCode.NOT_HEALTHY


class Unusable(PulseError):
    """A port is taken, or a folder cannot be written."""

    exit_code = ExitCode.UNUSABLE


class Refused(PulseError):
    """The platform answered, and will not do what was asked of it."""

    exit_code = ExitCode.REFUSED
