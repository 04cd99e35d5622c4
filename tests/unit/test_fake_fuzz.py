"""The fake keeps to the API's description, whatever it is asked (schemathesis, without a stack)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok

from pulse_sdk.testing import FakePulse
from tests.unit.test_fake_contract import DOCUMENT, check

EXAMPLES = 4
"""Requests an operation."""

OPERATIONS: list[APIOperation[Any, Any, Any, Any]] = sorted(
    (
        found.ok()
        for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
        if isinstance(found, Ok)
    ),
    # What other operations need is deleted last, and the log-in ended last of all.
    key=lambda one: (one.path.startswith("/api/v1/auth"), one.method.upper() == "DELETE"),
)


@dataclass(frozen=True)
class Known:
    """A fake in which there is something, and somebody's access token."""

    fake: FakePulse
    token: str
    ids: dict[str, str]


@pytest.fixture(scope="module")
def known() -> Known:
    fake = FakePulse()
    caller, other = fake.join("fuzzing"), fake.join("fuzzed")
    post = caller.pulse.posts.create("about the API")
    soon = datetime.now(UTC) + timedelta(days=1)
    ids = {
        "user_id": other.id,
        "post_id": post.id,
        "comment_id": caller.pulse.posts.comment(post.id, "about the post").id,
        "event_id": caller.pulse.events.create("Reading", starts_at=soon).id,
        "conversation_id": caller.pulse.conversations.open([other.id]).id,
    }
    token = fake.tokens(caller).access_token.get_secret_value()
    return Known(fake, token, {name: str(one) for name, one in ids.items()})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_answer_is_in_the_description(
    known: Known, operation: APIOperation[Any, Any, Any, Any]
) -> None:
    refusals = operation.definition.raw["responses"].values()
    codes = {code for one in refusals for code in re.findall(r"`(\w+)`", one["description"])}

    @given(data=st.data())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from((GenerationMode.POSITIVE, GenerationMode.NEGATIVE)))
        case: Case[Any] = data.draw(operation.as_strategy(generation_mode=mode))
        if case.path_parameters and data.draw(st.sampled_from((True, True, False))):
            ids = {name: known.ids[name] for name in case.path_parameters if name in known.ids}
            case.path_parameters.update(ids)
        answer = known.fake.transport.handle_request(request_of(case, known))
        if answer.status_code != 405:  # a method of another operation of the path
            check(f"{operation.method.upper()} {operation.path}", answer)
        if 400 <= answer.status_code < 500:
            assert answer.json()["code"] in {*codes, "method_not_allowed"}

    ask()


def request_of(case: Case[Any], known: Known) -> httpx.Request:
    """What schemathesis would send, as httpx has it."""
    headers = {"Authorization": f"Bearer {known.token}"}
    given = case.as_transport_kwargs(base_url=known.fake.base_url, headers=headers)
    wanted = ("method", "url", "headers", "params", "data", "json")
    made = requests.Request(**{name: given[name] for name in wanted if name in given}).prepare()
    return httpx.Request(
        str(made.method),
        str(made.url),
        headers=[(name.encode(), value.encode("latin-1")) for name, value in made.headers.items()],
        content=made.body,
    )
