import json
from pathlib import Path

import httpx
import jwt
import pytest
import respx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from pulse_cli.app import run
from pulse_cli.errors import ExitCode
from pulse_cli.health import Check, check
from pulse_cli.stack.model import ROUTES, Stack
from pulse_cli.stack.secrets import Secrets, ensure_secrets
from pulse_cli.targets import probes
from pulse_cli.targets.probes import Answer

WELL = {"database": "up", "redis": "up", "rabbitmq": "up"}


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return ensure_secrets(tmp_path / ".pulse")


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    answers = dict.fromkeys(("postgres", "redis", "amqp"), Answer(True, "ready"))
    for name in ("postgres", "amqp"):
        monkeypatch.setattr(probes, name, lambda host, port, name=name: answers[name])

    async def ping(self: Redis) -> bool:
        if not answers["redis"].ready:
            raise RedisError(answers["redis"].said)
        return True

    monkeypatch.setattr(Redis, "ping", ping)
    return answers


def answer_all(mock: respx.MockRouter) -> None:
    """Every instance is well, and every route says that nobody has nothing."""
    mock.get(path="/health/live").respond(200)
    mock.get(path="/health").respond(200, json=WELL)
    mock.get(path="/api/v1/ws").respond(426, text="upgrade")
    mock.get(path="/api/v1/users/me").respond(404, json={"code": "user_not_found"})
    mock.get(path__startswith="/api/v1/").respond(200, json={})


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {one.name: one for one in checks}


@respx.mock
async def test_a_stack_is_well_when_every_part_answers(
    secrets: Secrets, stores: dict[str, Answer]
) -> None:
    answer_all(respx.mock)
    checks = await check(Stack(), secrets)
    assert [c for c in checks if not c.healthy] == []
    assert len(checks) == 6 + 3 + len(ROUTES)
    assert by_name(checks)["posts-0"].said == "database up, redis up, rabbitmq up"
    assert by_name(checks)["/api/v1/users"].said == "users answered 404 user_not_found"


@respx.mock
async def test_the_probes_of_routes_show_a_token_of_nobody(
    secrets: Secrets, stores: dict[str, Answer]
) -> None:
    answer_all(respx.mock)
    await check(Stack(), secrets)
    sent = [c.request for c in respx.calls if c.request.url.path.startswith("/api/")]
    assert len(sent) == len(ROUTES)
    for request in sent:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        key = secrets.get("operator", "token_key")
        claims = jwt.decode(token, key, ["HS256"], issuer="pulse", audience="pulse-api")
        assert claims["sub"] == "00000000-0000-0000-0000-000000000000"


@respx.mock
@pytest.mark.parametrize(
    ("status", "document", "healthy", "said"),
    [
        (401, {"code": "session_ended"}, True, "posts answered 401 session_ended"),
        (500, {"code": "internal_error"}, False, "posts answered 500 internal_error"),
        (401, {"code": "gateway_unauthorized"}, False, "the gateway answered 401"),
        (503, {"code": "gateway_unavailable"}, False, "the gateway answered 503"),
        (404, None, False, "answered 404 without a problem document"),
        (426, None, False, "answered 426 without a problem document"),
    ],
)
async def test_a_route_is_well_when_the_service_itself_answered(
    secrets: Secrets,
    stores: dict[str, Answer],
    status: int,
    document: dict[str, str] | None,
    healthy: bool,
    said: str,
) -> None:
    respx.get(path="/api/v1/posts").mock(httpx.Response(status, json=document))
    answer_all(respx.mock)
    found = by_name(await check(Stack(), secrets))["/api/v1/posts"]
    assert found.healthy is healthy
    assert said in found.said


@respx.mock
async def test_what_is_ill_says_why(secrets: Secrets, stores: dict[str, Answer]) -> None:
    port = Stack().services.posts.port
    respx.get(path="/health", port=port).respond(503, json=WELL | {"redis": "down"})
    respx.get(path="/health/live", port=Stack().services.social.port).mock(
        side_effect=httpx.ConnectError("refused")
    )
    stores["redis"] = Answer(False, "connection refused")
    answer_all(respx.mock)
    checks = by_name(await check(Stack(), secrets))
    assert {name for name, one in checks.items() if not one.healthy} == {
        "posts-0", "social-0", "redis",
    }  # fmt: skip
    assert "redis down" in checks["posts-0"].said
    assert checks["social-0"].said == "refused"
    assert checks["redis"].said == "connection refused"


def running(project: Path) -> None:
    folder = project / ".pulse" / "run"
    folder.mkdir(parents=True)
    (folder / "stack.json").write_text(Stack().model_dump_json())


@respx.mock
def test_the_command_prints_one_object_and_its_exit_code_tells(
    tmp_path: Path, stores: dict[str, Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    running(tmp_path)
    answer_all(respx.mock)
    assert run(["-C", str(tmp_path), "health", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True

    stores["postgres"] = Answer(False, "starting up")
    assert run(["-C", str(tmp_path), "health", "--json"]) == ExitCode.NOT_HEALTHY
    shown = capsys.readouterr()
    assert json.loads(shown.out)["healthy"] is False
    assert shown.err.startswith("pulse: not healthy: postgres;")


@respx.mock
def test_the_command_waits_until_all_is_well(
    tmp_path: Path, stores: dict[str, Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    running(tmp_path)
    respx.get(path="/api/v1/posts").mock(
        side_effect=[httpx.ConnectError("refused"), httpx.Response(200)]
    )
    answer_all(respx.mock)
    assert run(["-C", str(tmp_path), "health", "--wait", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 6 + 3 + len(ROUTES)


def test_without_a_stack_there_is_no_health(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-C", str(tmp_path), "health", "--json"]) == ExitCode.NOT_HEALTHY
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "healthy": False, "gateway_url": None, "state": f"{tmp_path}/.pulse", "checks": [],
    }  # fmt: skip
    assert "pulse up" in shown.err
