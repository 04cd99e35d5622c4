"""Log-ins of one account in several places: listed, ended, and none that can be guessed."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime

import httpx
import pytest

from services.kit.cache import open_redis
from services.kit.errors import ServiceError
from services.kit.ids import new_id
from services.users import attempts
from services.users.api import SERVICE
from services.users.app import create_app
from services.users.sessions import MAX_SESSIONS, Client, Sessions
from services.users.store import Account, UserStore
from tests.conftest import RunningStack
from tests.connected.people import WITHIN, code, fresh_address, served, settings_of
from tests.ports import closed_port

PASSWORD = "correct horse battery"
OTHER = "another horse battery"

_places = itertools.count(1)


class Somebody:
    """An account, and clients that are logged in to it from addresses of their own."""

    def __init__(self, base_url: str, clients: AsyncExitStack) -> None:
        self._base_url = base_url
        self._clients = clients
        self.name = f"user_{uuid.uuid4().hex[:12]}"
        self.email = f"{self.name}@people.example"

    async def client(self, agent: str = "tests") -> httpx.AsyncClient:
        """A client at an address of its own, not logged in."""
        transport = httpx.AsyncHTTPTransport(local_address=fresh_address())
        return await self._clients.enter_async_context(
            httpx.AsyncClient(
                base_url=f"{self._base_url}/api/v1",
                transport=transport,
                headers=[(b"User-Agent", agent.encode("latin-1"))],
                timeout=WITHIN,
            )
        )

    async def register(self) -> httpx.AsyncClient:
        """Make the account; the client of its first session."""
        client = await self.client("first")
        body = {"email": self.email, "username": self.name, "display_name": "Somebody"}
        answer = await client.post("/auth/register", json={**body, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return _as(client, answer.json()["tokens"])

    async def login(self, agent: str = "tests", password: str = PASSWORD) -> httpx.AsyncClient:
        """The client of a further session."""
        client = await self.client(agent)
        answer = await client.post("/auth/login", json={"login": self.name, "password": password})
        assert answer.status_code == 200, answer.text
        return _as(client, answer.json())


def _as(client: httpx.AsyncClient, tokens: dict[str, str]) -> httpx.AsyncClient:
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    client.headers["X-Refresh"] = tokens["refresh_token"]  # kept here for `_refreshed`
    return client


async def _refreshed(client: httpx.AsyncClient) -> int:
    answer = await client.post(
        "/auth/refresh", json={"refresh_token": client.headers.pop("X-Refresh")}
    )
    if answer.status_code == 200:
        _as(client, answer.json())
    return answer.status_code


Make = Callable[[], Somebody]


@pytest.fixture
async def new(stack: RunningStack) -> AsyncIterator[Make]:
    async with AsyncExitStack() as clients:
        yield lambda: Somebody(stack.gateway_url, clients)


async def test_sessions_are_listed_where_they_were_begun(new: Make) -> None:
    ada = new()
    first = await ada.register()
    phone = await ada.login("phone \u00e9 " + "x" * 300)

    (at_phone, at_first) = (await phone.get("/auth/sessions")).json()["items"]

    assert (at_phone["current"], at_first["current"]) == (True, False)
    assert at_first["user_agent"] == "first"
    assert len(at_phone["user_agent"]) == 200
    assert at_phone["address"].startswith("127.77.")
    assert at_phone["address"] != at_first["address"]
    assert (await first.get("/auth/session")).json() == at_first | {"current": True}
    assert await _refreshed(first) == 200
    (_, again) = (await phone.get("/auth/sessions")).json()["items"]
    used = [datetime.fromisoformat(one["last_used_at"]) for one in (at_first, again)]
    assert used[0] < used[1]


async def test_where_a_session_was_begun_cannot_be_forged(new: Make) -> None:
    ada = new()
    await ada.register()
    forger = await ada.client()
    forger.headers["X-Forwarded-For"] = "6.6.6.6"
    answer = await forger.post("/auth/login", json={"login": ada.name, "password": PASSWORD})
    session = (await _as(forger, answer.json()).get("/auth/session")).json()
    assert session["address"].startswith("127.77.")


async def test_the_list_of_sessions_is_paged(new: Make) -> None:
    ada = new()
    clients = [await ada.register(), *[await ada.login(f"number {n}") for n in range(4)]]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await clients[0].get("/auth/sessions", params={"limit": 2, **cursor})
        page = answer.json()
        found += [session["user_agent"] for session in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == ["number 3", "number 2", "number 1", "number 0", "first"]
    refused = await clients[0].get("/auth/sessions", params={"cursor": "bm8"})
    assert code(refused) == (422, "invalid_request")


async def test_one_session_is_ended_by_its_owner_alone(new: Make) -> None:
    ada, eve = new(), new()
    first, thief = await ada.register(), await eve.register()
    phone = await ada.login()
    session_id = (await phone.get("/auth/session")).json()["id"]
    path = f"/auth/sessions/{session_id}"

    assert code(await thief.delete(path)) == (404, "session_not_found")
    assert await _refreshed(phone) == 200
    assert (await first.delete(path)).status_code == 204

    assert await _refreshed(phone) == 401
    assert await _refreshed(first) == 200
    assert code(await first.delete(path)) == (404, "session_not_found")
    assert code(await first.delete("/auth/sessions/nonsense")) == (404, "session_not_found")
    assert code(await first.delete(f"/auth/sessions/{new_id()}")) == (404, "session_not_found")
    # Its access token lives on for a while, but cannot end those of the owner.
    assert code(await phone.delete("/auth/sessions")) == (401, "session_ended")
    assert code(await phone.get("/auth/sessions")) == (401, "session_ended")


async def test_all_sessions_are_ended_at_once(new: Make) -> None:
    ada, ben = new(), new()
    clients = [await ada.register(), await ada.login(), await ada.login()]
    stranger = await ben.register()

    assert (await clients[1].delete("/auth/sessions")).status_code == 204

    assert [await _refreshed(client) for client in clients] == [401, 401, 401]
    assert await _refreshed(stranger) == 200
    assert len((await (await ada.login()).get("/auth/sessions")).json()["items"]) == 1


async def test_a_password_is_changed_and_ends_the_other_sessions(new: Make) -> None:
    ada = new()
    first, phone = await ada.register(), await ada.login()
    change = {"current_password": PASSWORD, "new_password": OTHER}

    assert (await phone.post("/auth/password", json=change)).status_code == 204

    assert await _refreshed(first) == 401
    assert await _refreshed(phone) == 200
    (left,) = (await phone.get("/auth/sessions")).json()["items"]
    assert left["current"] is True
    old = {"login": ada.name, "password": PASSWORD}
    assert code(await first.post("/auth/login", json=old)) == (401, "credentials_wrong")
    await ada.login(password=OTHER)


async def test_a_password_is_not_changed_without_the_current_one(new: Make) -> None:
    ada = new()
    first = await ada.register()

    async def change(**body: object) -> tuple[int, str]:
        return code(await first.post("/auth/password", json=body))

    assert await change(current_password=OTHER, new_password=OTHER) == (403, "password_wrong")
    assert await change(current_password=PASSWORD, new_password="x") == (422, "invalid_request")
    assert await change(current_password=PASSWORD) == (422, "invalid_request")
    assert await change(new_password=OTHER) == (422, "invalid_request")
    assert await change(current_password=1, new_password=OTHER) == (422, "invalid_request")
    await ada.login()


async def test_of_concurrent_password_changes_one_wins(new: Make) -> None:
    ada = new()
    clients = [await ada.register(), await ada.login(), await ada.login()]
    wanted = [f"{OTHER} {n}" for n in range(3)]

    answers = await asyncio.gather(
        *(
            client.post(
                "/auth/password", json={"current_password": PASSWORD, "new_password": password}
            )
            for client, password in zip(clients, wanted, strict=True)
        )
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1, statuses
    assert set(statuses) <= {204, 401, 403, 409}
    winner = statuses.index(204)
    await ada.login(password=wanted[winner])
    ended = [n for n in range(3) if n != winner]
    assert [await _refreshed(clients[n]) for n in ended] == [401, 401]
    assert await _refreshed(clients[winner]) == 200


async def test_an_account_is_guessed_at_a_few_times_only(new: Make) -> None:
    ada, ben = new(), new()
    first = await ada.register()
    await ben.register()
    wrong = [{"login": login, "password": OTHER} for login in (ada.name, ada.email.upper())]
    guessers = [await ada.client() for _ in range(4)]

    async def guess(number: int) -> httpx.Response:
        return await guessers[number % 4].post("/auth/login", json=wrong[number // 4 % 2])

    answers = await asyncio.gather(*(guess(n) for n in range(attempts.OF_ACCOUNT + 6)))

    told = [answer.status_code for answer in answers]
    assert (told.count(401), told.count(429)) == (attempts.OF_ACCOUNT, 6)
    right = {"login": ada.name, "password": PASSWORD}
    refused = await first.post("/auth/login", json=right)
    assert code(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= attempts.WINDOW_SECONDS
    change = {"current_password": PASSWORD, "new_password": OTHER}
    assert code(await first.post("/auth/password", json=change)) == (429, "too_many_attempts")
    assert await _refreshed(first) == 200, "who is logged in stays so"
    await ben.login()


async def test_a_success_forgets_the_account_s_failures(new: Make) -> None:
    ada = new()
    first = await ada.register()
    wrong = {"login": ada.name, "password": OTHER}
    for _ in range(2):
        for _ in range(attempts.OF_ACCOUNT - 1):
            assert (await first.post("/auth/login", json=wrong)).status_code == 401
        await ada.login()


async def test_an_address_tries_a_limited_number_of_accounts(
    stack: RunningStack,
) -> None:
    settings = settings_of("users", stack.stack, stack.state)
    async with open_redis(settings) as redis:
        counted = attempts.Attempts(redis)
        network, other = (f"2001:db8:{uuid.uuid4().hex[:4]}:{n}" for n in (1, 2))

        async def attempt(number: int, address: str) -> int:
            try:
                await counted.begin(str(new_id()), address)
            except ServiceError as error:
                assert error.code == "too_many_attempts"
                return 0
            return number

        # All addresses of a /64 are one client.
        done = [await attempt(1, f"{network}::{n:x}") for n in range(attempts.OF_ADDRESS + 3)]
        assert sum(done) == attempts.OF_ADDRESS
        assert await attempt(1, f"{other}::1") == 1
        # A success gives back its own attempt and no other.
        await counted.succeeded(str(new_id()), f"{network}::1")
        assert [await attempt(1, f"{network}::1") for _ in range(2)] == [1, 0]


async def test_the_longest_unused_of_too_many_sessions_ends(stack: RunningStack) -> None:
    settings = settings_of("users", stack.stack, stack.state)
    user_id, client = new_id(), Client("127.0.0.1", "")
    async with open_redis(settings) as redis:
        sessions = Sessions(redis, settings)
        tokens = [await sessions.open(user_id, 0, client) for _ in range(2)]
        first, second = (t.refresh_token.get_secret_value() for t in tokens)
        begun = await sessions.of_token(first)
        assert begun is not None
        assert await sessions.refresh(begun, first) is not None
        for _ in range(MAX_SESSIONS - 1):
            await sessions.open(user_id, 0, client)

        assert len(await sessions.of_user(user_id)) == MAX_SESSIONS
        assert await sessions.get(begun.id) is not None, "it was used after the second"
        assert await sessions.of_token(second) is None


async def test_a_session_of_an_earlier_epoch_is_over_even_if_redis_has_it(
    new: Make, stack: RunningStack
) -> None:
    ada = new()
    first = await ada.register()
    me = (await first.get("/users/me")).json()
    settings = settings_of("users", stack.stack, stack.state)
    async with open_redis(settings) as redis:
        sessions = Sessions(redis, settings)
        await first.delete("/auth/sessions")
        # As after a crash of Redis that lost the deletion.
        late = await sessions.open(uuid.UUID(me["id"]), 0, Client("127.0.0.1", "late"))
    client = _as(await ada.client(), {
        "access_token": late.access_token.get_secret_value(),
        "refresh_token": late.refresh_token.get_secret_value(),
    })  # fmt: skip
    assert code(await client.get("/auth/sessions")) == (401, "session_ended")
    assert await _refreshed(client) == 401


async def test_a_refresh_token_survives_a_database_that_is_away(
    new: Make, stack: RunningStack
) -> None:
    class Away(UserStore):
        async def account(self, user_id: uuid.UUID) -> Account | None:
            raise ServiceError.unavailable("database")

    ada = new()
    first = await ada.register()
    app = create_app(settings_of("users", stack.stack, stack.state))
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=WITHIN) as client,
    ):
        token = {"refresh_token": first.headers["X-Refresh"]}
        store = app[SERVICE]._store
        app[SERVICE]._store = Away(store._database, store._outbox)
        assert code(await client.post("/auth/refresh", json=token)) == (503, "database_unavailable")
        app[SERVICE]._store = store
        assert (await client.post("/auth/refresh", json=token)).status_code == 200


async def test_without_redis_nobody_logs_in_but_profiles_are_read(
    new: Make, stack: RunningStack
) -> None:
    ada = new()
    first = await ada.register()
    me = (await first.get("/users/me")).json()
    with closed_port() as port:
        settings = settings_of("users", stack.stack, stack.state)
        away = settings.model_copy(update={"redis_port": port})
        async with served(create_app(away)) as url:
            headers = {"Authorization": first.headers["Authorization"]}
            async with httpx.AsyncClient(
                base_url=f"{url}/api/v1", headers=headers, timeout=WITHIN
            ) as client:
                refused = [
                    await client.post(
                        "/auth/login", json={"login": ada.name, "password": PASSWORD}
                    ),
                    await client.post(
                        "/auth/refresh", json={"refresh_token": first.headers["X-Refresh"]}
                    ),
                    await client.get("/auth/sessions"),
                    await client.delete("/auth/sessions"),
                ]
                assert {code(answer) for answer in refused} == {(503, "session_store_unavailable")}
                assert (await client.get(f"/users/{me['id']}")).status_code == 200
                assert (await client.get("/users", params={"query": ada.name})).status_code == 200
                edited = await client.patch("/users/me", json={"bio": "still here"})
                assert edited.status_code == 200
    assert (await first.get(f"/users/{me['id']}")).json()["bio"] == "still here"
    assert await _refreshed(first) == 200
