"""What a service says of its hot queries: the index that answers each, and its shard key.

`python -m services.explain` holds PostgreSQL to the index; a test holds the SQL to the shard key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.kit.db import Query

NEWEST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
"""An expression that sorts after every id: where a list starts."""

PAGE = "21"
"""What a list's query is asked for: the default page and one more."""


@dataclass(frozen=True, slots=True)
class HotQuery:
    """A query that must stay cheap however large its table grows."""

    name: str
    """That of its `Query`, as in metrics."""
    table: str
    """The table that it is about."""
    index: str
    """The index that must answer it."""
    scattered: str = ""
    """Why it asks every shard, if it does not carry its table's shard key."""
    or_index: str = ""
    """Another that answers it as well: which of the two is cheaper depends on the data."""


@dataclass(frozen=True, slots=True)
class Hot:
    """A service's hot tables and queries."""

    shard_keys: Mapping[str, str]
    """The column that each hot table would be divided by."""
    parameters: Mapping[str, str]
    """An SQL expression for each parameter of the queries, taken from the data that are there."""
    queries: tuple[HotQuery, ...]
    built: tuple[Query, ...] = ()
    """Samples of the queries that are put together for each request."""


def some(column: str, table: str, type_: str = "uuid") -> str:
    """The expression of a value that a column has, or of some other one while it has none."""
    other = "gen_random_uuid()" if type_ == "uuid" else f"''::{type_}"
    return f"coalesce((SELECT {column} FROM {table} LIMIT 1), {other})"


def several(column: str, table: str) -> str:
    """The expression of an array of twenty ids, as many of them a column's as it has."""
    found = f"SELECT {column} FROM {table} LIMIT 20"
    return f"(ARRAY({found}) || ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 20)))[:20]"


def carries(sql: str, shard_key: str) -> bool:
    """Whether a statement says which value of a column it is about."""
    compared = rf"\b{shard_key} = (ANY ?\()?%\(\w+\)s"
    return re.search(compared, sql) is not None


def parameters(sql: str) -> list[str]:
    """The names of a statement's parameters."""
    return list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
