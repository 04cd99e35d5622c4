"""Where words go: data on stdout, everything for people on stderr.

A command prints its one JSON object or its final table on stdout, sentences by `say`, and what
moves on the rich console of `people()`. `rich` is imported on first use: many commands need none.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDE = 200
"""Columns of a table that is not shown on a terminal, so that pipes get whole lines."""

SHORT = 24
"""Characters that a table never breaks: names, numbers, and moments."""

NUMBER = re.compile(r"[\d.,:]*( ?%)?")


@cache
def people() -> Console:
    """The console for people, on stderr: what moves, and what has colours."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(sentence: str) -> None:
    """Print a sentence for people on stderr, as it is; also above what moves there."""
    print(sentence, file=sys.stderr)


def data(value: RenderableType) -> None:
    """Print a command's final table (or text) on stdout."""
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else WIDE).print(value)


def emit_json(value: object) -> None:
    """Print `value` as the one JSON object on stdout."""
    print(json.dumps(value, indent=2, default=str))


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> Table:
    """Lay out a table without lines; cells may be rich text.

    Numbers stand on the right. On a narrow terminal texts go on below, and nothing is left out.
    """
    from rich.table import Table

    cells = [tuple(row) for row in rows]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(columns):
        texts = [str(row[i]) for row in cells]
        numbers = any(texts) and all(map(NUMBER.fullmatch, texts))
        grid.add_column(
            title,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=max(map(len, texts), default=0) <= SHORT,
        )
    for row in cells:
        grid.add_row(*row)
    return grid


def table(columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> None:
    """Print a plain table on stdout."""
    data(plain_table(columns, rows))


def fail(sentence: str) -> None:
    """Print one sentence about a failure on stderr."""
    say(f"pulse: {sentence}")
