"""The two clients: one surface, options, lifecycle, what importing costs."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr

import pulse_sdk
from pulse_sdk import AsyncPulse, Backoff, InvalidInput, NotFound, Pulse, Retries
from pulse_sdk.client import BaseClient
from pulse_sdk.contract.common import FieldError, Problem
from pulse_sdk.contract.events import EditEvent
from pulse_sdk.contract.users import Tokens
from pulse_sdk.errors import AnswerError, ConnectionFailed, InvalidRequest, answer_error
from pulse_sdk.resources._base import Resource, endpoint, listing

AREAS = {
    "auth": {
        *("register", "login", "refresh", "logout", "session", "sessions", "end_session"),
        *("logout_everywhere", "change_password"),
    },
    "users": {"me", "update_me", "get", "search"},
    "posts": {
        *("create", "get", "list", "edit", "delete", "popular", "like", "unlike", "liked", "likes"),
        *("comment", "comments", "replies", "delete_comment"),
    },
    "social": {
        *("follow", "unfollow", "following", "followers", "mutuals", "counts", "relation"),
        *("block", "unblock", "blocks", "recommendations"),
    },
    "feed": {"list"},
    "conversations": {
        "open",
        "list",
        "get",
        "rename",
        "add_member",
        "remove_member",
        "send",
        "messages",
        "mark_read",
        "unread",
        "presence",
    },
    "notifications": {
        *("list", "unread", "mark_read", "mark_all_read", "delete", "preferences", "prefer"),
        *("set_quiet_hours", "end_quiet_hours", "push_key", "register_device", "devices"),
        "remove_device",
    },
    "events": {
        *("create", "list", "get", "edit", "cancel", "delete", "rsvp", "own_rsvp", "attendees"),
    },
    "realtime": {"messages", "frames"},
}
DRIVERS = {"close", "aclose", "send", "drive", "list", "listen", "login"}
OPTIONS = {"credentials", "flow", "raw", "tokens", "with_options"}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


async def test_both_clients_have_the_same_areas_and_methods() -> None:
    with Pulse("http://pulse") as blocking:
        async with AsyncPulse("http://pulse") as asynchronous:
            for client in blocking, asynchronous:
                assert public(client) - DRIVERS == {*AREAS, *OPTIONS}
                for area, methods in AREAS.items():
                    assert public(getattr(client, area)) == methods
            for area in AREAS:
                assert type(getattr(blocking, area)) is type(getattr(asynchronous, area))


def test_every_method_of_an_area_is_one_documented_builder() -> None:
    with Pulse("http://pulse") as client:
        for area in AREAS.keys() - {"realtime"}:
            for name, member in vars(type(getattr(client, area))).items():
                if not name.startswith("_"):
                    assert isinstance(member, endpoint | listing), f"{area}.{name}"
                    assert member.__doc__
                    assert getattr(getattr(client, area), name).__doc__ == member.__doc__


def test_both_clients_take_the_same_options() -> None:
    def options(client: type[BaseClient]) -> dict[str, Any]:
        parameters = inspect.signature(client).parameters
        return {name: (p.kind, p.default) for name, p in parameters.items()}

    assert options(Pulse) == options(AsyncPulse)


def test_an_area_is_made_once() -> None:
    with Pulse("http://pulse") as client:
        assert client.posts is client.posts
        assert isinstance(client.posts, Resource)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org/pulse/", "https://example.org/pulse"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_base_url_is_used_as_given(given: str, used: str) -> None:
    with Pulse(given) as client:
        assert client.flow.base_url == used


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://example.org",
        "http://",
        "http://example.org:port",
        "http://example.org?x=1",
        "http://example.org#x",
        "http://example.org/api/v1",
        "http://example.org/api/v1/",
        "http://exa mple.org\n",
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused(base_url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^base_url: "):
        Pulse(base_url)


def test_a_password_in_a_base_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        Pulse("http://ada:hunter2@example.org")
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("token", ["", "secret\n", "se cret", "sécret"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Pulse("http://pulse", token=token)
    assert "cret" not in f"{caught.value} {caught.value!r}"


def test_a_websocket_url_follows_the_scheme() -> None:
    for base, websocket in [
        ("http://pulse:1", "ws://pulse:1/api/v1/ws"),
        ("https://pulse/http", "wss://pulse/http/api/v1/ws"),
    ]:
        with Pulse(base) as client:
            assert client.flow.websocket_url == websocket


async def test_a_client_that_was_given_is_never_closed() -> None:
    with httpx.Client() as http:
        Pulse("http://pulse", http_client=http).close()
        assert not http.is_closed
    async with httpx.AsyncClient() as async_http:
        await AsyncPulse("http://pulse", http_client=async_http).aclose()
        assert not async_http.is_closed


@respx.mock
def test_a_given_client_keeps_its_own_headers_and_timeout() -> None:
    route = respx.delete("https://pulse/api/v1/posts/1").respond(204)
    with httpx.Client(headers={"X-Team": "bots"}, timeout=3) as http:
        Pulse("https://pulse", http_client=http).posts.delete("1")
        assert route.calls.last.request.headers["X-Team"] == "bots"
        assert route.calls.last.request.extensions["timeout"]["read"] == 3
        Pulse("https://pulse", http_client=http, timeout=1).posts.delete("1")
        assert route.calls.last.request.extensions["timeout"]["read"] == 1


@respx.mock
def test_a_redirect_is_not_followed() -> None:
    respx.get("https://pulse/api/v1/users/me").respond(
        307, headers={"Location": "https://elsewhere/"}
    )
    with httpx.Client(follow_redirects=True) as http, pytest.raises(AnswerError) as caught:
        Pulse("https://pulse", token="t", http_client=http).users.me()
    assert caught.value.status == 307


@respx.mock
async def test_every_endpoint_goes_where_the_api_has_it() -> None:
    respx.route().respond(404)
    async with AsyncPulse("https://pulse", token="t") as client:
        starts_at = datetime.now(UTC)
        calls = {
            "POST /auth/logout": client.auth.logout(),
            "GET /auth/session": client.auth.session(),
            "GET /auth/sessions": client.auth.sessions().page(),
            "DELETE /auth/sessions/1": client.auth.end_session("1"),
            "DELETE /auth/sessions": client.auth.logout_everywhere(),
            "POST /auth/password": client.auth.change_password("password-1", "password-2"),
            "GET /users/me": client.users.me(),
            "PATCH /users/me": client.users.update_me(bio="x"),
            "GET /users/1": client.users.get("1"),
            "GET /users": client.users.search("ada").page(),
            "POST /posts": client.posts.create("x"),
            "GET /posts": client.posts.list().page(),
            "GET /posts/1": client.posts.get("1"),
            "DELETE /posts/1": client.posts.delete("1"),
            "PUT /posts/1/like": client.posts.like("1"),
            "DELETE /posts/1/like": client.posts.unlike("1"),
            "POST /posts/1/comments": client.posts.comment("1", "x"),
            "GET /posts/1/comments": client.posts.comments("1").page(),
            "PUT /social/following/1": client.social.follow("1"),
            "DELETE /social/following/1": client.social.unfollow("1"),
            "GET /social/following": client.social.following().page(),
            "GET /social/followers": client.social.followers().page(),
            "GET /social/mutuals": client.social.mutuals().page(),
            "GET /social/users/1/following": client.social.following("1").page(),
            "GET /social/users/1/followers": client.social.followers("1").page(),
            "GET /social/users/1/mutuals": client.social.mutuals("1").page(),
            "GET /social/users/1/counts": client.social.counts("1"),
            "GET /social/users/1/relation": client.social.relation("1"),
            "PUT /social/blocks/1": client.social.block("1"),
            "DELETE /social/blocks/1": client.social.unblock("1"),
            "GET /social/blocks": client.social.blocks().page(),
            "GET /social/recommendations": client.social.recommendations(),
            "GET /feed": client.feed.list().page(),
            "POST /conversations": client.conversations.open(
                ["0190b6f0-0000-7000-8000-000000000001"]
            ),
            "GET /conversations": client.conversations.list().page(),
            "GET /conversations/1": client.conversations.get("1"),
            "PATCH /conversations/1": client.conversations.rename("1", "x"),
            "PUT /conversations/1/members/2": client.conversations.add_member("1", "2"),
            "DELETE /conversations/1/members/2": client.conversations.remove_member("1", "2"),
            "PUT /conversations/1/read": client.conversations.mark_read(
                "1", "0190b6f0-0000-7000-8000-000000000001"
            ),
            "GET /conversations/unread": client.conversations.unread(),
            "GET /conversations/1/presence": client.conversations.presence("1"),
            "POST /conversations/1/messages": client.conversations.send("1", "x"),
            "GET /conversations/1/messages": client.conversations.messages("1").page(),
            "GET /notifications": client.notifications.list().page(),
            "GET /notifications/unread": client.notifications.unread(),
            "PUT /notifications/1/read": client.notifications.mark_read("1"),
            "PUT /notifications/read": client.notifications.mark_all_read(),
            "DELETE /notifications/1": client.notifications.delete("1"),
            "GET /notifications/preferences": client.notifications.preferences(),
            "PUT /notifications/preferences/like": client.notifications.prefer(
                "like", in_app=True, push=False
            ),
            "PUT /notifications/quiet-hours": client.notifications.set_quiet_hours(
                time(22), time(7), "Europe/Berlin"
            ),
            "DELETE /notifications/quiet-hours": client.notifications.end_quiet_hours(),
            "GET /notifications/push-key": client.notifications.push_key(),
            "PUT /notifications/devices": client.notifications.register_device(
                "https://push.example/1", p256dh="x", auth="x"
            ),
            "GET /notifications/devices": client.notifications.devices(),
            "DELETE /notifications/devices/1": client.notifications.remove_device("1"),
            "POST /events": client.events.create("x", starts_at=starts_at),
            "GET /events": client.events.list().page(),
            "GET /events/1": client.events.get("1"),
            "PATCH /events/1": client.events.edit("1", EditEvent(capacity=None), version=1),
            "PUT /events/1/cancellation": client.events.cancel("1"),
            "DELETE /events/1": client.events.delete("1"),
            "PUT /events/1/rsvp": client.events.rsvp("1", "yes"),
            "GET /events/1/rsvp": client.events.own_rsvp("1"),
            "GET /events/1/attendees": client.events.attendees("1").page(),
        }
        keyed = set()
        for where, call in calls.items():
            with pytest.raises(NotFound):
                await call
            request = respx.calls.last.request
            assert f"{request.method} {request.url.path.removeprefix('/api/v1')}" == where
            if "Idempotency-Key" in request.headers:
                keyed.add(where)
        assert keyed == {
            "POST /posts",
            "POST /posts/1/comments",
            "POST /conversations",
            "POST /conversations/1/messages",
            "POST /events",
        }


def test_errors_survive_pickling_and_copying() -> None:
    problem = Problem(
        title="No", status=422, code="no", errors=[FieldError(field="a", message="b")]
    )
    for error in (
        InvalidRequest(problem, 2, 1.5),
        NotFound(problem),
        InvalidInput.of("a", "b"),
        ConnectionFailed("refused", 3),
    ):
        for twin in pickle.loads(pickle.dumps(error)), copy.copy(error):
            assert (type(twin), str(twin)) == (type(error), str(error))


def test_what_the_server_finds_invalid_is_caught_with_what_the_client_finds_invalid() -> None:
    problem = Problem(
        title="No", status=422, code="no", errors=[FieldError(field="a", message="b")]
    )
    with pytest.raises(InvalidInput) as caught:
        raise InvalidRequest(problem)
    assert caught.value.fields == (FieldError(field="a", message="b"),)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    headers = httpx.Headers({} if header is None else {"retry-after": header})
    assert answer_error(503, headers, b"", 1).retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    error = answer_error(503, {"Retry-After": date}, b"", 1)
    assert error.retry_after == pytest.approx(60, abs=2)


def test_waits_double_up_to_their_bound() -> None:
    backoff = Backoff(first=1, most=5)
    for failures, bound in [(1, 1), (2, 2), (3, 4), (4, 5), (10_000, 5)]:
        waits = [backoff.delay(failures) for _ in range(200)]
        assert min(waits) >= 0 and max(waits) <= bound
        assert max(waits) > bound * 0.8 and min(waits) < bound * 0.2


def test_a_wait_honours_what_the_server_asks_for_within_the_cap() -> None:
    retries = Retries(limit=1, backoff=Backoff(0.1, 0.1), retry_after_cap=30)

    def busy(seconds: str) -> AnswerError:
        return answer_error(503, {"Retry-After": seconds}, b"", 1)

    assert retries.wait(busy("30"), 1) == 30
    assert retries.wait(busy("31"), 1) is None
    assert retries.wait(busy("1"), 2) is None


def test_tokens_given_at_the_start_are_used() -> None:
    tokens = Tokens.model_validate({"access_token": "a", "refresh_token": "r", "expires_in": 1})
    with Pulse("http://pulse", token=tokens) as client:
        assert client.credentials.access_token == SecretStr("a")
        assert repr(client.credentials) == "<Credentials: access token and refresh token>"


def test_importing_the_package_imports_neither_httpx_nor_websockets() -> None:
    program = (
        "import sys, pulse_sdk, pulse_sdk.contract.posts;"
        "assert not {'httpx', 'websockets', 'asyncio'} & sys.modules.keys();"
        "from pulse_sdk import Pulse; Pulse('http://pulse').posts;"
        "assert not {'websockets', 'pulse_sdk.resources.events'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_resolves_and_others_do_not() -> None:
    for name in pulse_sdk.__all__:
        assert getattr(pulse_sdk, name).__name__ == name
    assert set(pulse_sdk.__all__) <= set(dir(pulse_sdk))
    with pytest.raises(AttributeError, match="nonsense"):
        pulse_sdk.nonsense  # noqa: B018
