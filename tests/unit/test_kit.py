"""The services' kit: tokens, cursors, problem documents and validation, without any process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from pulse_sdk.contract.common import PageQuery, Problem
from pulse_sdk.contract.posts import CreatePost, Post
from services.kit.auth import service_token, user_verifier, verify_service_token
from services.kit.errors import ServiceError, problems
from services.kit.http import Access, Call, add_endpoints, endpoint
from services.kit.ids import new_id
from services.kit.observe import DEGRADED_HEADER, degraded, observed
from services.kit.paging import encode_cursor, id_cursor
from services.kit.settings import Settings
from services.kit.tasks import raise_if_cancelled

USER, SESSION = new_id(), new_id()
KEY = "k" * 43


def _settings(name: str = "posts") -> Settings:
    return Settings.model_validate(
        {
            "name": name,
            "port": 1,
            "database_host": "-",
            "database_name": "-",
            "database_user": "-",
            "redis_host": "-",
            "redis_user": "-",
            "rabbitmq_host": "-",
            "rabbitmq_user": "-",
            "rabbitmq_vhost": "-",
            "token_issuer": "pulse",
            "token_audience": "pulse-api",
            "peers_file": Path("-"),
            "database_password": SecretStr("-"),
            "redis_password": SecretStr("-"),
            "rabbitmq_password": SecretStr("-"),
            "token_key": SecretStr(KEY),
            "service_key": SecretStr("s" * 43),
        }
    )


def _token(key: str = KEY, lives_seconds: int = 60, **changes: object) -> str:
    claims = {
        "iss": "pulse",
        "aud": "pulse-api",
        "sub": str(USER),
        "sid": str(SESSION),
        "exp": int(time.time()) + lives_seconds,
    }
    wanted = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(wanted, key, algorithm="HS256")


def test_a_good_token_tells_user_and_session() -> None:
    identity = user_verifier(_settings())(_token())

    assert (identity.user_id, identity.session_id) == (USER, SESSION)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: _token(lives_seconds=-60), "token_expired"),
        (lambda: _token(key="x" * 43), "token_invalid"),
        (lambda: _token(aud="another"), "token_invalid"),
        (lambda: _token(iss="another"), "token_invalid"),
        (lambda: _token(sub="not an id"), "token_invalid"),
        (lambda: _token(sub=None), "token_invalid"),
        (lambda: _token(exp=None), "token_invalid"),
        (lambda: "garbage", "token_invalid"),
        (lambda: jwt.encode({"sub": str(USER)}, "", algorithm="none"), "token_invalid"),
    ],
)
def test_any_other_token_is_refused(make: Callable[[], str], code: str) -> None:
    with pytest.raises(ServiceError) as raised:
        user_verifier(_settings())(make())
    assert (raised.value.status, raised.value.code) == (401, code)


def test_a_token_that_was_good_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    verify, token = user_verifier(_settings()), _token()
    verify(token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 120)

    with pytest.raises(ServiceError, match="expired"):
        verify(token)


def test_a_service_token_that_was_good_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = service_token(_settings("social"), "posts")
    assert verify_service_token(_settings("posts"), token, ("social",)) == "social"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 120)

    with pytest.raises(ServiceError, match="not good"):
        verify_service_token(_settings("posts"), token, ("social",))


def test_a_cursor_survives_the_round_trip() -> None:
    assert id_cursor(encode_cursor(str(USER))) == USER
    assert id_cursor(None) is None


@pytest.mark.parametrize("cursor", ["", "%", "ÿ", encode_cursor("not an id"), "A" * 199])
def test_a_foreign_cursor_is_a_field_error(cursor: str) -> None:
    with pytest.raises(ServiceError) as raised:
        id_cursor(cursor)
    assert raised.value.code == "invalid_request"
    assert raised.value.fields[0].field == "cursor"


async def _echo(call: Call[CreatePost, None]) -> None:
    assert isinstance(call.body, CreatePost)
    assert isinstance(call.user.user_id, UUID)


async def _list(call: Call[None, PageQuery]) -> PageQuery:
    return call.query


async def _one(call: Call[None, None]) -> None:
    call.id("post_id")


async def _broken(_: Call[None, None]) -> Post:
    raise RuntimeError("a secret detail")


async def _internal(_: Call[None, None]) -> None:
    return None


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[observed, problems], client_max_size=10_000)
    add_endpoints(
        app,
        _settings(),
        (
            endpoint("POST", "/posts", _echo, body=CreatePost),
            endpoint("GET", "/posts", _list, query=PageQuery, returns=PageQuery),
            endpoint("GET", "/posts/{post_id}", _one),
            endpoint("GET", "/broken", _broken, returns=Post, access=Access.PUBLIC),
            endpoint("GET", "/internal", _internal, access=Access.SERVICE, callers=("social",)),
        ),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


def _authorised() -> dict[str, str]:
    return {"Authorization": f"Bearer {_token()}"}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b'{"text": "hello"}', 204, None, None),
        (b'{"text": ""}', 422, "invalid_request", "text"),
        (b'{"text": "a\\u0000b"}', 422, "invalid_request", "text"),
        (b'{"text": 5}', 422, "invalid_request", "text"),
        (b'{"text": "x", "more": 1}', 422, "invalid_request", "more"),
        (b"{}", 422, "invalid_request", "text"),
        (b"[]", 422, "invalid_request", ""),
        (b"{", 400, "malformed_request", None),
        (b"", 400, "malformed_request", None),
        (b'{"text": "\xff\xfe"}', 400, "malformed_request", None),
        (b'{"text": "\\ud800"}', 400, "malformed_request", None),
        (b'{"text": "' + b"x" * 11_000 + b'"}', 413, "body_too_large", None),
    ],
)
async def test_a_body_is_validated(
    client: TestClient[web.Request, web.Application],
    body: bytes,
    status: int,
    code: str | None,
    field: str | None,
) -> None:
    headers = {**_authorised(), "Content-Type": "application/json"}
    answer = await client.post("/posts", data=body, headers=headers)

    assert answer.status == status
    if code is not None:
        problem = Problem.model_validate_json(await answer.read())
        assert answer.content_type == "application/problem+json"
        assert (problem.status, problem.code) == (status, code)
        assert problem.correlation_id == answer.headers["X-Correlation-ID"]
        if field is not None:
            assert problem.errors is not None
            assert problem.errors[0].field == field


async def test_a_body_of_another_kind_is_refused(
    client: TestClient[web.Request, web.Application],
) -> None:
    answer = await client.post("/posts", data=b"text=hello", headers=_authorised())

    assert answer.status == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?limit=5", 200),
        ("?limit=0", 422),
        ("?limit=101", 422),
        ("?limit=x", 422),
        ("?limit=1&limit=2", 422),
        ("?colour=red", 422),
    ],
)
async def test_a_query_is_validated(
    client: TestClient[web.Request, web.Application], query: str, status: int
) -> None:
    answer = await client.get(f"/posts{query}", headers=_authorised())

    assert answer.status == status


async def test_an_id_that_cannot_exist_is_not_found(
    client: TestClient[web.Request, web.Application],
) -> None:
    answer = await client.get("/posts/no-uuid", headers=_authorised())

    assert answer.status == 404
    assert (await answer.json(content_type=None))["code"] == "post_not_found"


async def test_an_unforeseen_failure_reveals_nothing(
    client: TestClient[web.Request, web.Application],
) -> None:
    answer = await client.get("/broken", headers={"X-Correlation-ID": "mine"})

    assert answer.status == 500
    assert "secret" not in await answer.text()
    assert answer.headers["X-Correlation-ID"] == "mine"


async def test_unknown_paths_and_methods_are_problems(
    client: TestClient[web.Request, web.Application],
) -> None:
    unknown = await client.get("/nothing")
    wrong = await client.delete("/posts")

    assert (await unknown.json(content_type=None))["code"] == "no_such_path"
    assert (await wrong.json(content_type=None))["code"] == "method_not_allowed"
    assert "POST" in wrong.headers["Allow"]


@pytest.mark.parametrize(
    ("caller", "callee", "status"),
    [
        (None, "", 401),
        ("a user", "", 401),
        ("social", "posts", 204),
        ("events", "posts", 403),
        ("social", "users", 401),
    ],
)
async def test_only_named_services_may_call_inside(
    client: TestClient[web.Request, web.Application], caller: str | None, callee: str, status: int
) -> None:
    headers = _authorised() if caller == "a user" else {}
    if callee and caller:
        headers = {"Authorization": f"Bearer {service_token(_settings(caller), callee)}"}
    assert (await client.get("/internal", headers=headers)).status == status


async def test_an_answer_names_what_was_away() -> None:
    async def answer(request: web.Request) -> web.Response:
        for what in request.query.getall("without", []):
            degraded(what)
        return web.Response()

    app = web.Application(middlewares=[observed])
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        for query, named in (("without=b&without=a&without=b", "a, b"), ("", None)):
            async with client.get(f"/?{query}") as response:
                assert response.headers.get(DEGRADED_HEADER) == named


@pytest.mark.parametrize(
    ("path", "level"), [("/health/ready", logging.DEBUG), ("/api", logging.WARNING)]
)
async def test_only_probes_may_be_refused_in_silence(
    caplog: pytest.LogCaptureFixture, path: str, level: int
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application(middlewares=[observed])
    app.router.add_get(path, refuse)
    caplog.set_level(logging.DEBUG, "services.kit.observe")
    async with TestClient(TestServer(app)) as client:
        assert (await client.get(path)).status == 503
    (told,) = [record for record in caplog.records if record.name == "services.kit.observe"]
    assert (told.levelno, path in told.getMessage()) == (level, True)


async def test_a_swallowed_cancellation_is_raised_all_the_same() -> None:
    reached: list[str] = []

    async def swallowing() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            reached.append("swallowed")
        raise_if_cancelled()
        reached.append("went on")

    task = asyncio.create_task(swallowing())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == ["swallowed"]
