"""`pulse verify gateway` against real gateways: what holds, and that what does not is seen."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from pulse_cli.errors import CheckFailed
from pulse_cli.stack.gateway import Gateway
from pulse_cli.stack.model import Stack
from pulse_cli.targets.local.ports import isolated
from pulse_cli.verify.gateway.outcome import Verdict
from pulse_cli.verify.gateway.run import Conformance, conformance
from pulse_cli.verify.gateway.subject import Subject, subject_of
from tests.conftest import RunningStack, pulse
from tests.connected.gateway_stand import KINDS, Running, standing
from tests.ports import closed_port

RICH = Gateway(
    requests_per_second=20,
    logins_per_second=3,
    max_body_bytes=65_536,
    cors_origins=("http://app.test", "https://shop.example.org:8443"),
    allow=("127.0.0.0/9", "10.0.0.0/8"),
    deny=("127.9.0.0/16", "fd00::/8"),
    trusted_proxies=("127.8.0.0/16", "fd01::/16"),
)


def verdicts(found: Conformance) -> dict[str, Verdict]:
    return {f"{one.name}: {one.promised}": one.verdict for one in found.outcomes}


def broken(found: Conformance) -> set[str]:
    return {one.name for one in found.outcomes if one.verdict is Verdict.FAIL}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    stack = isolated(Stack(gateway=RICH))
    async with standing(stack, tmp_path_factory.mktemp("conform"), request.param) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_every_policy_holds(gateway: Running) -> None:
    found = await conformance(subject_of(gateway.stack, gateway.secrets))
    # Where only a few requests a second are answered, none can be too many.
    rates = [one for one in found.outcomes if one.name.startswith("rate of ")]
    missed = [one for one in found.outcomes if one.verdict is not Verdict.PASS]
    assert [one for one in missed if one.verdict is Verdict.FAIL or one not in rates] == []
    assert found.failure() is None
    assert len(found.outcomes) > 90
    assert len(verdicts(found)) == len(found.outcomes), "each has a name of its own"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_the_gateway_was_not_told_is_seen(gateway: Running) -> None:
    told = gateway.stack.gateway
    other = told.model_copy(
        update={"max_body_bytes": 1024, "cors_origins": ("http://other.test",), "deny": ()}
    )
    subject = replace(subject_of(gateway.stack, gateway.secrets), gateway=other, admin_port=9)
    found = await conformance(subject)
    assert broken(found) >= {
        "body of 1025 bytes",
        "chunked body of 1025 bytes",
        "cors preflight of http://other.test",
        "metrics",
    }
    assert isinstance(found.failure(), CheckFailed)
    assert "policies do not hold: " in str(found.failure())


async def test_something_that_is_no_gateway_fails_every_policy() -> None:
    async def agree(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Server": "something/1.0"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agree)
    async with TestServer(app) as server:
        found = await conformance(_subject(server.port))
    failed = broken(found)
    assert {"token forged", "no route /", "banners of a service", "rate of log-ins"} <= failed
    assert "websocket without a token" in failed


async def test_nothing_that_answers_fails_without_a_traceback() -> None:
    with closed_port() as port:
        found = await conformance(_subject(port))
    assert {one.verdict for one in found.outcomes} == {Verdict.FAIL, Verdict.SKIP}


def _subject(port: int | None) -> Subject:
    assert port is not None
    quick = Gateway(requests_per_second=2, logins_per_second=1)
    return Subject("127.0.0.1", port, None, quick, Stack().tokens, "k" * 43, direct=True)


def test_the_running_stack_keeps_its_policies(stack: RunningStack) -> None:
    done = stack.pulse("verify", "gateway", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["passed"] is True
    assert told["fail"] == 0
    assert {"name", "promised", "seen", "verdict"} == set(told["policies"][0])


def test_without_a_stack_there_is_nothing_to_verify(tmp_path: Path) -> None:
    done = pulse(tmp_path, "verify", "gateway")
    assert done.returncode == 6
    assert "pulse up" in done.stderr
