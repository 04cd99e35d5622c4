"""Profiles: edited one version at a time, found by name, read in batches by other services."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any
from uuid import UUID

import pytest

from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.broker import heard
from tests.connected.internal import internal
from tests.connected.people import People, Person, code

ME = "/api/v1/users/me"
USERS = "/api/v1/users"


class Accounts:
    """Makes people who have an account, through the operator's import."""

    def __init__(self, stack: RunningStack, people: People) -> None:
        self._stack = stack
        self._people = people

    async def new(self, username: str | None = None, display_name: str = "Somebody") -> Person:
        """A person with a profile."""
        person = await self._people.new()
        await self.named({username or f"p{person.id.hex[-20:]}": display_name}, person.id)
        return person

    async def named(self, names: dict[str, str], user_id: UUID | None = None) -> None:
        """Accounts by username and display name."""
        users = [
            {
                "id": str(user_id or new_id()),
                "email": f"{username}@people.example",
                "username": username,
                "display_name": display_name,
            }
            for username, display_name in names.items()
        ]
        body = {"password": "correct horse battery", "users": users}
        answer = await internal(self._stack, "operator", "users", "/internal/import", body)
        assert answer.json() == {"imported": len(users)}


@pytest.fixture
def accounts(stack: RunningStack, people: People) -> Accounts:
    return Accounts(stack, people)


async def test_an_edit_is_seen_at_once_and_told(
    stack: RunningStack, people: People, accounts: Accounts
) -> None:
    ada, ben = await accounts.new(), await people.new()
    path = f"{USERS}/{ada.id}"
    before = (await ben.http.get(path)).json()
    assert (before["visibility"], before["bio"]) == ("public", "")

    async with heard(stack, "users", "user.updated") as events:
        answer = await ada.http.patch(ME, json={"visibility": "private", "bio": "Countess"})
        again = await ada.http.patch(ME, json={"visibility": "private"})
        told = [data for _, data in await events.data() if data["user_id"] == str(ada.id)]

    me = answer.json()
    assert (me["visibility"], me["bio"], me["version"]) == ("private", "Countess", 2)
    assert answer.headers["ETag"] == '"2"'
    assert again.json() == me, "nothing changed, so there is no new version"
    assert [event["visibility"] for event in told] == ["private"]
    after = (await ben.http.get(path)).json()
    assert after == before | {"visibility": "private", "bio": "Countess"}
    assert "email" not in after


@pytest.mark.parametrize(
    "change",
    [
        {"visibility": "hidden"},
        {"visibility": 1},
        {"bio": "x" * 301},
        {"bio": "a\x00b"},
        {"display_name": " "},
        {"display_name": ["Ada"]},
        {"username": "other"},
        {"version": 7},
        [],
    ],
)
async def test_a_bad_edit_changes_nothing(accounts: Accounts, change: Any) -> None:
    ada = await accounts.new()
    assert code(await ada.http.patch(ME, json=change)) == (422, "invalid_request")
    assert (await ada.http.get(ME)).json()["version"] == 1


async def test_who_has_no_account_cannot_edit_one(people: People) -> None:
    nobody = await people.new()
    assert code(await nobody.http.patch(ME, json={"bio": "x"})) == (404, "user_not_found")
    assert code(await nobody.http.get(ME)) == (404, "user_not_found")


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('"7", "1"', 200),
        ("*", 200),
        ('"2"', 412),
        ('W/"1"', 412),
        ("1", 412),
        ("nonsense", 412),
    ],
)
async def test_an_edit_may_name_the_version_it_is_for(
    accounts: Accounts, if_match: str, status: int
) -> None:
    ada = await accounts.new()
    answer = await ada.http.patch(ME, json={"bio": "x"}, headers={"If-Match": if_match})
    assert answer.status_code == status
    if status == 412:
        assert code(answer) == (412, "stale")


async def test_of_concurrent_edits_of_one_version_one_is_made(accounts: Accounts) -> None:
    ada = await accounts.new()
    answers = await asyncio.gather(
        *(
            ada.http.patch(ME, json={"bio": f"number {n}"}, headers={"If-Match": '"1"'})
            for n in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]
    (made,) = (answer.json() for answer in answers if answer.is_success)
    assert (await ada.http.get(ME)).json() == made


async def test_concurrent_edits_of_different_fields_are_all_kept_and_told_in_order(
    stack: RunningStack, accounts: Accounts
) -> None:
    ada = await accounts.new()
    changes = [
        {"display_name": "Ada L."},
        {"bio": "Countess"},
        {"visibility": "private"},
        {"display_name": "Ada K."},
    ]
    async with heard(stack, "users", "user.updated") as events:
        answers = await asyncio.gather(*(ada.http.patch(ME, json=one) for one in changes))
        told = [data for _, data in await events.data() if data["user_id"] == str(ada.id)]

    assert [answer.status_code for answer in answers] == [200] * 4
    me = (await ada.http.get(ME)).json()
    assert (me["bio"], me["visibility"], me["version"]) == ("Countess", "private", 5)
    assert len(told) == 4
    assert {name: me[name] for name in ("display_name", "visibility")} == {
        name: told[-1][name] for name in ("display_name", "visibility")
    }


async def _found(person: Person, query: str, limit: int = 20) -> list[str]:
    """Usernames, page by page."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        params = {"query": query, "limit": str(limit), **cursor}
        answer = await person.http.get(USERS, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        found += [user["username"] for user in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_people_are_found_by_the_beginning_of_their_username(
    people: People, accounts: Accounts
) -> None:
    mark = uuid.uuid4().hex[:10]
    names = [f"{mark}_c", f"{mark}a", f"{mark}_b", f"{mark}"]
    await accounts.named(dict.fromkeys(names, "Nobody"))
    ada = await people.new()
    # Byte by byte: "_" comes before "a". It stands for itself, as in no LIKE pattern.
    assert await _found(ada, mark.upper()) == [mark, f"{mark}_b", f"{mark}_c", f"{mark}a"]
    for query in (f"{mark}_", f"{mark}_c"):
        begun = [name for name in sorted(names) if name.startswith(query)]
        assert (await _found(ada, query))[: len(begun)] == begun


async def test_people_are_found_by_similar_names_the_most_similar_first(
    people: People, accounts: Accounts
) -> None:
    number = uuid.uuid4().int
    word = "".join("bcdfghjklmnpqrst"[number >> 4 * i & 15] + "aeiou"[i % 5] for i in range(6))
    one, two, three = (f"n{uuid.uuid4().hex[:12]}" for _ in range(3))
    await accounts.named(
        {one: f"Zoë {word.title()}", two: f"Anna Maria {word}s", three: f"{word[:8]}xyz"}
    )
    ada = await people.new()

    assert await _found(ada, word) == [one, two, three]
    assert await _found(ada, f"zoe {word}") == [one, two]
    typo = word[:4] + word[5:]
    assert set(await _found(ada, typo)) >= {one, two}
    assert await _found(ada, one[:5]) == [one]


async def test_who_is_private_is_found_by_name(people: People, accounts: Accounts) -> None:
    ada, ben = await accounts.new(), await people.new()
    await ada.http.patch(ME, json={"visibility": "private"})
    me = (await ada.http.get(ME)).json()

    (found,) = (await ben.http.get(USERS, params={"query": me["username"]})).json()["items"]

    assert found == {key: me[key] for key in me.keys() - {"email", "version"}}


async def test_a_new_name_is_found_and_the_old_one_is_not(
    people: People, accounts: Accounts
) -> None:
    old, new = (f"{uuid.uuid4().hex[:16]}" for _ in range(2))
    ada, ben = await accounts.new(display_name=old), await people.new()
    username = (await ada.http.get(ME)).json()["username"]
    assert await _found(ben, old) == [username]
    await ada.http.patch(ME, json={"display_name": new})
    assert await _found(ben, old) == []
    assert await _found(ben, new) == [username]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_a_search_is_paged_without_gaps_or_repeats(
    people: People, accounts: Accounts, limit: int
) -> None:
    mark = uuid.uuid4().hex[:10]
    begun = [f"{mark}{n}" for n in range(3)]
    similar = [f"s{uuid.uuid4().hex[:12]}" for _ in range(4)]
    await accounts.named(dict.fromkeys(begun, "Nobody") | dict.fromkeys(similar, mark))
    found = await _found(await people.new(), mark, limit)
    assert found[:3] == begun
    assert sorted(found[3:]) == sorted(similar)


@pytest.mark.parametrize("query", ["%", "_", "' OR 1=1 --", "\\", "...", "李明", "e\u0301", "🦉"])
async def test_an_odd_search_is_only_fruitless(people: People, query: str) -> None:
    ada = await people.new()
    assert (await ada.http.get(USERS, params={"query": query})).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": ""},
        {"query": "  "},
        {"query": "a\x00b"},
        {"query": "x" * 61},
        {"query": "ada", "limit": 0},
        {"query": "ada", "limit": 101},
        {"query": "ada", "email": "ada@people.example"},
        {"query": "ada", "cursor": "!"},
        {"query": "ada", "cursor": "bm8"},
        {"query": "ada", "cursor": base64.b64encode(b"ada:99999:1").decode()},
        {"query": "ada", "cursor": base64.b64encode(b"a\x00da").decode()},
    ],
)
async def test_a_bad_search_is_refused(people: People, params: dict[str, Any]) -> None:
    ada = await people.new()
    assert code(await ada.http.get(USERS, params=params)) == (422, "invalid_request")


async def test_profiles_are_read_in_a_batch(stack: RunningStack, accounts: Accounts) -> None:
    ada, ben = await accounts.new(display_name="Ada"), await accounts.new(display_name="Ben")
    path, ids = "/internal/users/batch", [str(ben.id), str(new_id()), str(ada.id), str(ben.id)]

    async def names() -> list[str]:
        answer = await internal(stack, "posts", "users", path, {"ids": ids})
        assert answer.status_code == 200, answer.text
        assert all("email" not in user for user in answer.json()["items"])
        return [user["display_name"] for user in answer.json()["items"]]

    assert await names() == ["Ben", "Ada"]
    assert await names() == ["Ben", "Ada"], "now from the cache"
    await ada.http.patch(ME, json={"display_name": "Countess"})
    assert await names() == ["Ben", "Countess"]


async def test_a_batch_has_a_most_and_is_not_public(stack: RunningStack, people: People) -> None:
    path = "/internal/users/batch"
    many = [str(new_id())] * 101
    for ids in (many, ["x"], None):
        answer = await internal(stack, "posts", "users", path, {"ids": ids})
        assert code(answer) == (422, "invalid_request")
    ada = await people.new()
    assert (await ada.http.post(path, json={"ids": []})).status_code == 404
