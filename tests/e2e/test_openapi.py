"""The API keeps to its own description, whatever it is asked (schemathesis against the stack)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode, checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as openapi_checks

from pulse_sdk import Pulse
from services import openapi
from tests.conftest import RunningStack
from tests.e2e.conftest import PASSWORD

DOCUMENT = openapi.document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: list[APIOperation[Any, Any, Any, Any]] = sorted(
    (found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)),
    # What other operations need is deleted last, and the log-in ended last of all.
    key=lambda one: (one.path.startswith("/api/v1/auth"), one.method.upper() == "DELETE"),
)
EXAMPLES = 5
"""Requests an operation, of valid and as many of invalid values."""

CHECKS: list[Any] = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def known(stack: RunningStack) -> Iterator[dict[str, str]]:
    """The caller's access token, and an existing id for each kind of path parameter."""
    with Pulse(stack.gateway_url) as caller, Pulse(stack.gateway_url) as other:
        ids, tokens = {}, {}
        for pulse, role in ((caller, "fuzzing"), (other, "fuzzed")):
            name = f"{role}_{uuid4().hex[:12]}"
            account = pulse.auth.register(
                email=f"{name}@people.example",
                username=name,
                password=PASSWORD,
                display_name=name,
            )
            ids[role] = str(account.user.id)
            tokens[role] = account.tokens.access_token.get_secret_value()
        post = caller.posts.create("about the API")
        soon = datetime.now(UTC) + timedelta(days=1)
        event = caller.events.create(title="Reading", starts_at=soon)
        conversation = caller.conversations.open([ids["fuzzed"]])
        yield {
            "token": tokens["fuzzing"],
            "user_id": ids["fuzzed"],
            "post_id": str(post.id),
            "event_id": str(event.id),
            "conversation_id": str(conversation.id),
        }


def test_the_gateway_serves_the_description_of_what_runs(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.gateway_url}/api/v1/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_the_page_shows_every_operation_and_needs_no_other_host(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.gateway_url}/api/v1/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    for one in OPERATIONS:
        assert f'<details id="{one.definition.raw["operationId"]}">' in answer.text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_answer_is_in_the_description(
    stack: RunningStack, known: dict[str, str], operation: APIOperation[Any, Any, Any, Any]
) -> None:
    headers = {"Authorization": f"Bearer {known['token']}"}
    refusals = operation.definition.raw["responses"].values()
    codes = {code for one in refusals for code in re.findall(r"`(\w+)`", one["description"])}

    @given(data=st.data())
    @settings(
        max_examples=2 * EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from((GenerationMode.POSITIVE, GenerationMode.NEGATIVE)))
        case: Case[Any] = data.draw(operation.as_strategy(generation_mode=mode))
        if case.path_parameters and data.draw(st.sampled_from((True, False))):
            case.path_parameters.update({n: known[n] for n in case.path_parameters if n in known})
        answer = case.call(base_url=stack.gateway_url, headers=headers, timeout=60)
        case.validate_response(answer, checks=CHECKS)
        if 400 <= answer.status_code < 500:
            assert answer.json()["code"] in codes

    ask()
