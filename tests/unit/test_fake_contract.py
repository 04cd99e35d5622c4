"""The fake says what the services said when the contract was recorded, in all it serves."""

from __future__ import annotations

import asyncio
import re
from datetime import time
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import pytest

from pulse_sdk.testing import FakePulse
from pulse_sdk.testing._server import ENDPOINTS
from services.openapi import document
from tests.contract.behaviours import BEHAVIOURS, Played, play, recorded
from tests.contract.cast import FakeStage

DOCUMENT = document()
SOCKET = "GET /api/v1/ws"


@cache
def played(name: str) -> Played:
    return asyncio.run(play(name, FakeStage(FakePulse())))


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def test_every_behaviour_is_recorded() -> None:
    assert recorded().keys() == BEHAVIOURS.keys()


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_the_fake_says_what_the_services_said(name: str) -> None:
    assert played(name).record == recorded()[name]


def test_the_fake_serves_every_operation_and_no_other() -> None:
    assert {one.operation for one in ENDPOINTS} == operations().keys()


def test_every_operation_is_in_the_contract_with_a_success() -> None:
    answered = {
        operation_of(answer)
        for name in BEHAVIOURS
        for answer in played(name).raw
        if answer.is_success
    }
    assert operations().keys() - {SOCKET} <= answered


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_what_the_fake_answers_is_in_the_api_description(name: str) -> None:
    for answer in played(name).raw:
        if (operation := operation_of(answer)) is not None:
            check(operation, answer)


def check(operation: str, answer: httpx.Response) -> None:
    """That an answer is one which the API's description promises."""
    content = answer_of(operation, answer.status_code).get("content", {})
    assert bool(answer.content) == bool(content), f"{operation} {answer.status_code}"
    if content:
        schema = content[answer.headers["Content-Type"]]["schema"]
        validator(schema["$ref"]).validate(answer.json())


def operation_of(answer: httpx.Response) -> str | None:
    path = answer.request.url.path
    found = [
        operation
        for operation in operations()
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", operation), f"{answer.request.method} {path}")
    ]
    return min(found, key=lambda operation: operation.count("{"), default=None)


def answer_of(operation: str, status: int) -> dict[str, Any]:
    responses = operations()[operation]["responses"]
    found: dict[str, Any] = responses.get(str(status)) or responses[f"{status // 100}XX"]
    return found


@cache
def validator(reference: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": reference, "components": DOCUMENT["components"]},
        validate_formats=True,
        formats={"time": lambda text: bool(time.fromisoformat(text))},  # of day, without an offset
    )
