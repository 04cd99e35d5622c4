"""What services say of their hot queries is so: they are there, and carry their shard keys."""

import pytest

from services.explain import hot, queries
from services.kit.hot import HotQuery, carries, parameters
from services.migrate import SERVICES

HOT = [(service, one) for service in SERVICES for one in hot(service).queries]


@pytest.mark.parametrize(("service", "one"), HOT, ids=lambda value: getattr(value, "name", value))
def test_a_hot_query_carries_its_shard_key_or_says_why_not(service: str, one: HotQuery) -> None:
    sql = queries(service)[one.name].sql
    assert carries(sql, hot(service).shard_keys[one.table]) is not bool(one.scattered), sql
    assert set(parameters(sql)) <= set(hot(service).parameters)


@pytest.mark.parametrize(
    ("sql", "carried"),
    [
        ("SELECT 1 FROM posts WHERE id = %(id)s", True),
        ("SELECT 1 FROM posts p WHERE p.id = ANY(%(ids)s)", True),
        ("SELECT 1 FROM posts WHERE author_id = %(id)s", False),
        ("SELECT 1 FROM posts WHERE id < %(before)s", False),
    ],
)
def test_a_statement_carries_what_it_compares_for_equality(sql: str, carried: bool) -> None:
    assert carries(sql, "id") is carried
