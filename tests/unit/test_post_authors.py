"""Authors in memory, without PostgreSQL."""

from __future__ import annotations

from typing import cast

import pytest

from services.kit.db import Database, Params, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.posts.authors import Authors, key_of


class Table:
    """The authors' table, which may be away."""

    def __init__(self) -> None:
        self.found: list[Row] = []
        self.away = False
        self.asked = 0

    async def rows(self, _: Query, __: Params) -> list[Row]:
        if self.away:
            raise ServiceError.unavailable("database")
        self.asked += 1
        return self.found


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def authors(table: Table) -> Authors:
    return Authors(cast("Database", table))


async def test_an_author_is_read_once_known_or_not(authors: Authors, table: Table) -> None:
    ada, nobody = new_id(), new_id()
    table.found = [(str(ada), "ada", "Ada", "private")]
    for _ in range(2):
        found = await authors.many({key_of(ada), key_of(nobody)})
        assert found[key_of(ada)].private
        assert found[key_of(ada)].json == b'{"username":"ada","display_name":"Ada"}'
        assert (found[key_of(nobody)].names, found[key_of(nobody)].private) == (None, False)
    assert table.asked == 1


async def test_without_postgresql_whoever_is_not_in_memory_counts_as_private(
    authors: Authors, table: Table
) -> None:
    ada, ben = new_id(), new_id()
    table.found = [(str(ada), "ada", "Ada", "public")]
    await authors.one(ada)
    table.away = True
    found = await authors.many_if_possible({key_of(ada), key_of(ben)})
    assert not found[key_of(ada)].private
    assert (found[key_of(ben)].json, found[key_of(ben)].private) == (b"null", True)
    with pytest.raises(ServiceError):
        await authors.one(ben)
