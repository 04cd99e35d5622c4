"""Who follows whom: from a file, or synthetic with the skew of real networks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pulse_cli.errors import ConfigError

Edge = tuple[int, int]

_COMMENTS = ("#", "%")
_MATRIX_MARKET = "%%MatrixMarket"
_LARGEST_NODE = 2**31 - 1
_FOLLOWS_PER_NEWCOMER = 10
_FOLLOW_BACK = 0.5


@dataclass(frozen=True)
class Graph:
    """People, by the numbers their source gives them, and follows `(follower, followee)`."""

    nodes: tuple[int, ...]
    follows: tuple[Edge, ...]


def read_graph(file: Path, *, directed: bool) -> Graph:
    """Read an edge list (`a b` per line) or a Matrix Market file whole.

    An undirected edge is two follows. Comments (`#`, `%`), blank lines, a third column (weight),
    repeated edges and loops are passed over.

    Raises:
        ConfigError: the file cannot be read or a line is not an edge; says which.
    """
    edges: dict[Edge, None] = {}
    nodes: dict[int, None] = {}
    try:
        with file.open(encoding="utf-8") as lines:
            for a, b in _edges(file, lines):
                nodes.update({a: None, b: None})
                if a != b:
                    edges[a, b] = None
                    if not directed:
                        edges[b, a] = None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a text file; expected an edge `a b` per line") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if not edges:
        raise ConfigError(f"{file}: has no edges; expected one `a b` per line")
    return Graph(tuple(sorted(nodes)), tuple(sorted(edges)))


def _edges(file: Path, lines: Iterator[str]) -> Iterator[Edge]:
    size_line_due = False
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith(_MATRIX_MARKET):
            size_line_due = True
            continue
        if not line.strip() or line.startswith(_COMMENTS):
            continue
        words = line.replace(",", " ").split()
        if size_line_due:
            size_line_due = False
            continue
        if len(words) not in (2, 3):
            raise ConfigError(f"{file}, line {number}: expected `a b`, got {_shown(line)}")
        yield _node(file, number, words[0]), _node(file, number, words[1])


def _node(file: Path, line: int, word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) <= _LARGEST_NODE):
        raise ConfigError(
            f"{file}, line {line}: {_shown(word)} is not a node; "
            f"expected a whole number from 0 to {_LARGEST_NODE}"
        )
    return int(word)


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:40] + "…")


def synthetic_graph(users: int, seed: int) -> Graph:
    """Make a graph by preferential attachment (Barabási and Albert, 1999), the same for a seed.

    Each newcomer follows up to ten people, preferring those who have many followers, and half of
    them follow back; so a few have very many followers and most have few.
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose, nothing secret
    follows: dict[Edge, None] = {}
    tickets = [0]  # a person appears once, and once more for every follower
    for newcomer in range(1, users):
        wanted = min(newcomer, _FOLLOWS_PER_NEWCOMER)
        chosen: dict[int, None] = {}
        while len(chosen) < wanted:
            chosen[chance.choice(tickets)] = None
        for followee in chosen:
            follows[newcomer, followee] = None
            tickets.append(followee)
            if chance.random() < _FOLLOW_BACK:
                follows[followee, newcomer] = None
                tickets.append(newcomer)
        tickets.append(newcomer)
    return Graph(tuple(range(users)), tuple(sorted(follows)))
