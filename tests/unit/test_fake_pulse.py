"""The fake as its users meet it: people, scripts, what was sent, time; and the factories."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from pydantic import ValidationError

from pulse_sdk import (
    AsyncPulse,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    Pulse,
    RateLimited,
    Retries,
    ServerError,
    UnreadableAnswer,
    contract,
)
from pulse_sdk.contract import common, events, messaging, notifications, posts, social, users
from pulse_sdk.contract.common import Page, ResponseModel
from pulse_sdk.testing import PASSWORD, FakePulse, factories
from pulse_sdk.testing._world import Tie

POST = "POST /api/v1/posts"


@pytest.fixture
def fake() -> FakePulse:
    return FakePulse(patience=5)


def test_people_act_on_one_another(fake: FakePulse) -> None:
    ada, ben = fake.join("ada"), fake.join("ben", display_name="Benjamin")
    post = ada.pulse.posts.create("Hello")
    ben.pulse.posts.like(post.id)
    ben.pulse.social.follow(ada.id)
    assert [liked.user_id for liked in ada.pulse.posts.likes(post.id)] == [ben.id]
    assert [post.text for post in ben.pulse.feed.list()] == ["Hello"]
    assert [told.kind for told in ada.pulse.notifications.list()] == ["follower", "like", "welcome"]
    assert (ben.user.display_name, ben.username) == ("Benjamin", "ben")


async def test_an_asynchronous_client_meets_the_same_people(fake: FakePulse) -> None:
    ada, bot = fake.join("ada"), fake.join("bot")
    async with fake.async_client(bot) as client:
        assert isinstance(client, AsyncPulse)
        await client.social.follow(ada.id)
        posts = [ada.pulse.posts.create(f"Post {number}").id for number in range(5)]
        assert [post.id async for post in client.feed.list(limit=2)] == posts[::-1]


def test_names_are_made_unique(fake: FakePulse) -> None:
    people = [fake.join("Ada") for _ in range(3)]
    assert [person.username for person in people] == ["ada", "ada_2", "ada_3"]
    assert len({person.id for person in people}) == 3
    assert FakePulse().join("ada").id not in {person.id for person in people}
    assert people[0] != people[1]


def test_who_joined_can_log_in_and_who_did_not_cannot(fake: FakePulse) -> None:
    fake.join("ada")
    with fake.client() as client:
        with pytest.raises(NotAuthenticated):
            client.users.me()
        client.auth.login("ada", PASSWORD)
        assert client.users.me().username == "ada"
        assert len(list(client.auth.sessions())) == 1


def test_who_joined_another_fake_is_not_known(fake: FakePulse) -> None:
    ada = FakePulse().join("ada")
    with pytest.raises(ValueError, match="ada joined another fake"):
        fake.client(ada)


def test_a_client_of_ones_own_reaches_it_over_the_transport(fake: FakePulse) -> None:
    token = fake.tokens(fake.join("ada"))
    http = httpx.Client(transport=fake.transport)
    with Pulse(fake.base_url, token=token, http_client=http) as client:
        assert client.users.me().username == "ada"


def test_a_program_that_makes_its_own_clients_is_answered(fake: FakePulse) -> None:
    async def bot() -> str:
        async with (
            AsyncPulse.login("https://pulse.example", "bot", PASSWORD) as client,
            client.realtime.messages() as frames,
        ):
            ada.pulse.conversations.send(talk.id, "Hello?")
            return (await anext(frames)).data.text

    ada, person = fake.join("ada"), fake.join("bot")
    talk = ada.pulse.conversations.open([person.id])
    perform = Pulse._perform
    with fake.everywhere():
        assert asyncio.run(bot()) == "Hello?"
        fake.fail_next(POST, retry_after=9)
        with Pulse.login("https://pulse.example/below", "ada", PASSWORD) as client:
            client.posts.create("Hello")
    assert fake.waits == [9.0]
    assert Pulse._perform is perform


def test_a_view_with_other_options_speaks_to_the_fake_too(fake: FakePulse) -> None:
    client = fake.client(fake.join("ada"))
    fake.fail_next(POST, retry_after=7)
    client.with_options(retries=1, headers={"X-Test": "1"}).posts.create("Hello")
    assert fake.waits == [7.0]
    assert fake.sent(POST)[-1].headers["x-test"] == "1"


def test_a_scripted_failure_is_waited_out_without_waiting(fake: FakePulse) -> None:
    ada = fake.join("ada")
    fake.fail_next(POST, retry_after=20, times=2)
    before = datetime.now(UTC)
    made = ada.pulse.posts.create("Hello")
    assert fake.waits == [20.0, 20.0]
    assert made.created_at >= before + timedelta(seconds=39)
    assert [sent.status for sent in fake.sent(POST)] == [503, 503, 201]


async def test_an_asynchronous_client_does_not_wait_either(fake: FakePulse) -> None:
    fake.fail_next(POST, retry_after=20)
    async with fake.async_client(fake.join("ada")) as client:
        await client.posts.create("Hello")
    assert fake.waits == [20.0]
    assert repr(fake) == "<FakePulse of 1 people>"


def test_a_failure_that_lasts_is_raised_with_what_was_scripted(fake: FakePulse) -> None:
    client = fake.client(fake.join("ada"), retries=Retries(limit=1))
    fake.fail_next(POST, status=429, code="gateway_rate_limited", retry_after=90)
    with pytest.raises(RateLimited) as limited:
        client.posts.create("Hello")
    assert (limited.value.code, limited.value.retry_after) == ("gateway_rate_limited", 90)
    fake.fail_next(POST, times=2)
    with pytest.raises(ServerError) as failed:
        client.posts.create("Hello")
    assert failed.value.attempts == 2
    assert list(client.posts.list()) == []


def test_an_answer_that_is_lost_does_not_post_twice(fake: FakePulse) -> None:
    ada = fake.join("ada")
    fake.lose_next(POST)
    ada.pulse.posts.create("Hello")
    assert [post.text for post in ada.pulse.posts.list()] == ["Hello"]
    first, second = fake.sent(POST, by=ada)
    assert (first.status, second.status) == (None, 201)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_any_answer_or_broken_connection_can_be_scripted(fake: FakePulse) -> None:
    client = fake.client(fake.join("ada"), retries=Retries(limit=0))
    fake.answer_next("GET /api/v1/feed", httpx.Response(200, text="{"))
    with pytest.raises(UnreadableAnswer):
        client.feed.list().page()
    fake.answer_next("GET /api/v1/feed", httpx.ConnectError("refused"))
    with pytest.raises(ConnectionFailed):
        client.feed.list().page()
    assert client.feed.list().page().items == []


@pytest.mark.parametrize("operation", ["POST /api/v1/post", "posts.create", ""])
def test_an_operation_that_is_not_there_is_told_at_once(fake: FakePulse, operation: str) -> None:
    for use in (fake.fail_next, fake.lose_next, fake.sent, fake.wait_for):
        with pytest.raises(ValueError, match="there is no operation"):
            use(operation)
    with pytest.raises(ValueError, match="did you mean 'POST /api/v1/posts'"):
        fake.fail_next("POST /api/v1/post")


def test_what_was_sent_can_be_looked_at_and_shows_no_secret(fake: FakePulse) -> None:
    ada = fake.join("ada")
    with fake.client() as client:
        client.auth.login("ada", PASSWORD)
        client.posts.create("Hello")
        client.posts.list(limit=3).page()
        with pytest.raises(NotFound):
            client.posts.get("nothing")
    login, create, listed, missing = fake.sent()
    assert (login.by, create.by) == (None, ada.id)
    assert login.json == {"login": "ada", "password": PASSWORD}
    assert create.json == {"text": "Hello"}
    assert (listed.operation, listed.query) == ("GET /api/v1/posts", {"limit": "3"})
    assert (missing.operation, missing.status) == ("GET /api/v1/posts/{post_id}", 404)
    assert PASSWORD not in repr(fake.sent())
    assert "authorization" not in create.headers
    assert fake.sent(by=fake.join("ben")) == []


def test_time_passes_when_it_is_told_to(fake: FakePulse) -> None:
    host, guest = fake.join("host"), fake.join("guest")
    at = datetime.now(UTC) + timedelta(hours=3)
    event = host.pulse.events.create("Reading", starts_at=at)
    guest.pulse.events.rsvp(event.id, "yes")
    fake.advance(timedelta(hours=2, minutes=30))
    assert next(iter(guest.pulse.notifications.list())).kind == "reminder"
    fake.advance(timedelta(hours=1))
    assert list(guest.pulse.events.list()) == []
    # Two access tokens ended meanwhile, and the clients had new ones.
    assert [sent.status for sent in fake.sent("POST /api/v1/auth/refresh", by=None)] == [200] * 2


def test_nobody_is_told_of_whom_they_block(fake: FakePulse) -> None:
    ada, ben, cleo = fake.join("ada"), fake.join("ben"), fake.join("cleo")
    group = ada.pulse.conversations.open([ben.id, cleo.id])
    ada.pulse.social.block(ben.id)
    ben.pulse.conversations.send(group.id, "Hello")
    told = [[told.kind for told in one.pulse.notifications.list()] for one in (ada, cleo)]
    assert told == [["welcome"], ["message", "welcome"]]


def test_limits_of_the_services_hold(fake: FakePulse) -> None:
    ada, ben = fake.join("ada"), fake.join("ben")
    now = datetime.now(UTC)
    for _ in range(5000):
        stranger = factories.user().id
        fake._world.follows[ada.id, stranger] = Tie(stranger, ada.id, stranger, now)
    with pytest.raises(Conflict) as full:
        ada.pulse.social.follow(ben.id)
    assert full.value.code == "following_too_many"
    with pytest.raises(InvalidRequest, match="must begin with https://"):
        ada.pulse.notifications.register_device("http://push.example", p256dh="AA", auth="AA")


def test_there_is_a_factory_for_every_model_of_an_answer() -> None:
    made = {type(one()) for one in vars(factories).values() if isinstance(one, factories.Factory)}
    modules = (common, events, messaging, notifications, posts, social, users)
    models = {
        model
        for module in modules
        for model in vars(module).values()
        if isinstance(model, type)
        and issubclass(model, ResponseModel)
        and model.__module__.startswith(contract.__name__)
        and not issubclass(model, Page)
    }
    assert models - {ResponseModel} <= made


def test_what_a_factory_makes_is_unique_and_takes_what_is_given() -> None:
    one, other = factories.post(), factories.post(text="Hello", like_count=3)
    assert one.id != other.id
    assert one.author != other.author
    assert (other.text, other.like_count, other.version) == ("Hello", 3, 1)
    assert isinstance(factories.message_frame().data.sender_id, UUID)
    assert factories.me().username != factories.me().username
    page = factories.feed_page(items=[one])
    assert page.items == [one]


def test_a_factory_refuses_what_does_not_fit() -> None:
    with pytest.raises(TypeError, match="Post has no 'likes', but id, author_id, text"):
        factories.post(likes=3)
    with pytest.raises(ValidationError):
        factories.post(like_count="many")


def test_the_client_does_not_import_its_fake() -> None:
    program = (
        "import sys, pulse_sdk; from pulse_sdk import AsyncPulse, Pulse;"
        "Pulse('http://pulse').realtime;"
        "assert not [name for name in sys.modules if name.startswith('pulse_sdk.testing')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
