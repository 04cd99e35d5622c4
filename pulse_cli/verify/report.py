"""What a verification found: facts, checks, and how both are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from pulse_cli.errors import CheckFailed
from pulse_cli.output import plain_table


@dataclass(frozen=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    promised: str
    seen: str
    passed: bool


@dataclass(frozen=True)
class Report:
    """Everything that one verification found."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """The facts, as people read them."""
    checks: Sequence[Check]
    figures: dict[str, Any]
    """The facts, as programs read them."""
    failures: Mapping[str, int]
    """How often requests failed, by endpoint and reason."""
    notes: Sequence[str] = ()
    """What to know before the facts are believed."""

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "failures": dict(self.failures),
            "notes": list(self.notes),
            **self.figures,
        }

    def shown(self) -> RenderableType:
        """The report for a terminal or a log."""
        verdicts = [
            (
                check.name,
                check.promised,
                check.seen,
                Text("pass", style="green") if check.passed else Text("fail", style="bold red"),
            )
            for check in self.checks
        ]
        return Group(
            self.title,
            "",
            plain_table(self.columns, self.rows),
            *(f"failed {count} times: {reason}" for reason, count in self.failures.items()),
            *(f"note: {note}" for note in self.notes),
            "",
            plain_table(("CHECK", "PROMISED", "SEEN", "VERDICT"), verdicts),
        )

    def failure(self) -> CheckFailed | None:
        """The error that ends the command when a promise was not kept."""
        broken = [check.name for check in self.checks if not check.passed]
        if not broken:
            return None
        return CheckFailed(
            f"failed {len(broken)} of {len(self.checks)} checks: {', '.join(broken)}"
        )
