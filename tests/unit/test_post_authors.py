"""Authors in memory, without PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest

from pulse_sdk.contract.internal import UserBatch, UsersByIds
from pulse_sdk.contract.users import User
from services.kit.db import Database, Params, Query, Row
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.kit.peers import Peers
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


class Users:
    """The users service, which may be away."""

    def __init__(self) -> None:
        self.accounts: list[User] = []
        self.away = False
        self.asked: list[set[UUID]] = []

    async def call(self, callee: str, _: str, __: object, *, body: UsersByIds) -> UserBatch:
        assert callee == "users"
        if self.away:
            raise ServiceError.unavailable("users")
        self.asked.append(set(body.ids))
        return UserBatch(items=[user for user in self.accounts if user.id in body.ids])


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def authors(table: Table, users: Users) -> Authors:
    return Authors(cast("Database", table), cast("Peers", users))


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


async def test_who_has_no_name_is_asked_for_once_the_users_service_answers(
    authors: Authors, table: Table, users: Users
) -> None:
    ada, nobody = new_id(), new_id()
    users.accounts = [
        User(
            id=ada,
            username="ada",
            display_name="Ada",
            bio="",
            created_at=datetime.now(UTC),
            visibility="private",
        )
    ]
    await authors.many({key_of(ada), key_of(nobody)})
    users.away = True
    with pytest.raises(ServiceError):
        await authors.meet()
    users.away = False
    table.found = [(str(ada), "ada", "Ada", "private")]  # what writing it returns
    await authors.meet()
    assert users.asked == [{ada, nobody}]
    assert (await authors.one(ada)).private
    assert (await authors.one(nobody)).names is None
    await authors.meet()
    assert len(users.asked) == 1
