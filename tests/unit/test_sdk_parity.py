"""One surface: the same on both clients and their raw views, and the whole public API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, time
from functools import cache, cached_property
from typing import Any, Literal, assert_type, get_args, get_origin
from urllib.parse import unquote

import pytest
from pydantic import BaseModel

from pulse_sdk import Answer, AsyncPulse, Pulse
from pulse_sdk._areas import Areas
from pulse_sdk._call import Call
from pulse_sdk._client import BaseClient
from pulse_sdk.contract import common, events, messaging, notifications, posts, social, users
from pulse_sdk.contract.events import EditEvent
from pulse_sdk.resources._base import Resource, endpoint, listing
from services.openapi import document

ID = "0190b6f0-0000-7000-8000-000000000001"
AREAS = [name for name, member in vars(Areas).items() if isinstance(member, cached_property)]
NOT_CALLED = {"GET /api/v1/ws"}  # `client.realtime` opens it.
NOW = datetime.now(UTC)
SAMPLES: dict[str, Any] = {
    **{"email": "ada@example.org", "username": "ada", "display_name": "Ada"},
    **dict.fromkeys(["password", "current_password", "new_password"], "password-1"),
    **dict.fromkeys(["author_id", "message_id", "parent_id"], ID),
    **{"member_ids": [ID], "visibility": "public", "bio": "x", "title": "x", "version": 1},
    **dict.fromkeys(["text", "query", "description", "location", "place"], "x"),
    **dict.fromkeys(["starts_after", "starts_before"], NOW),
    **{"changes": EditEvent(title="x"), "answer": "yes", "kind": "{kind}", "capacity": 1},
    **dict.fromkeys(["in_app", "push", "unread"], True),
    **{"ends_at": time(7), "time_zone": "Europe/Berlin", "endpoint": "https://push.example/1"},
    **{"p256dh": "x", "auth": "x", "limit": 7, "cursor": "c", "idempotency_key": "k"},
    **{"login": "ada", "refresh_token": "r"},
    **{"position": (1, 2), "box": (1, 2, 3, 4)},
}


def methods() -> Iterator[tuple[str, str, endpoint[..., Any] | listing[..., Any]]]:
    with Pulse("http://pulse") as client:
        for area in AREAS:
            for name, member in vars(type(getattr(client, area))).items():
                if not name.startswith("_"):
                    yield area, name, member


def sample(area: str, name: str, parameter: str) -> Any:
    if parameter == "starts_at":
        return time(22) if area == "notifications" else NOW
    if parameter in SAMPLES:
        return SAMPLES[parameter]
    assert parameter.endswith("_id"), f"no sample for {parameter} of {area}.{name}"
    return f"{{{parameter}}}"  # As the API's description has it.


def calls() -> Iterator[tuple[str, Call[Any]]]:
    """Each method's call with what it needs alone, also with its options, and with all."""
    for area, name, member in methods():
        build = member._build
        parameters = list(inspect.signature(build).parameters.values())[1:]
        needed = [one for one in parameters if one.default is one.empty]
        optional = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
        for given in needed, [*needed, *(one for one in optional if one not in needed)], parameters:
            arguments = {one.name: sample(area, name, one.name) for one in given}
            keyed = {one.name for one in given if one.kind is one.KEYWORD_ONLY}
            places = [arguments[one.name] for one in given if one.name not in keyed]
            yield f"{area}.{name}", build(None, *places, **{k: arguments[k] for k in keyed})


@cache
def described() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }


def test_every_public_endpoint_has_a_method_that_can_say_all_it_takes() -> None:
    said: dict[str, set[str]] = {}
    for _, call in calls():
        known = said.setdefault(f"{call.method} {unquote(call.path)}", set())
        known |= set(call.query)
        known |= {"Idempotency-Key"} if call.idempotency_key else set()
        known |= {"If-Match"} if call.version else set()
        known |= {"body"} if call.body is not None else set()
    wanted = {
        where: {one["name"] for one in operation.get("parameters", []) if one["in"] != "path"}
        | ({"body"} if "requestBody" in operation else set())
        for where, operation in described().items()
        if where not in NOT_CALLED
    }
    assert said == wanted


def test_what_may_be_sent_twice_is_keyed_without_being_asked() -> None:
    for name, call in calls():
        operation = described()[f"{call.method} {unquote(call.path)}"]
        headers = {one["name"] for one in operation.get("parameters", [])}
        assert (call.idempotency_key is not None) == ("Idempotency-Key" in headers), name


def test_every_method_is_one_documented_builder_on_all_clients() -> None:
    blocking, asynchronous = Pulse("http://pulse"), AsyncPulse("http://pulse")
    clients = blocking, asynchronous, blocking.raw, asynchronous.raw
    for area, name, member in methods():
        assert isinstance(member, endpoint | listing), f"{area}.{name}"
        found = [getattr(getattr(client, area), name) for client in clients]
        parameters = {str(inspect.signature(method).parameters) for method in found}
        assert len(parameters) == 1
        assert {method.__doc__ for method in found} == {member.__doc__}
        assert member.__doc__ and member.__doc__.strip().endswith((".", "`"))
    for area in AREAS:
        assert len({type(getattr(client, area)) for client in clients}) == 1
        assert isinstance(getattr(blocking, area), Resource)
        assert getattr(blocking, area) is getattr(blocking, area)
    blocking.close()


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_both_clients_have_the_same_names_and_options() -> None:
    assert public(Pulse) - {"close"} == public(AsyncPulse) - {"aclose"}

    def options(client: type[BaseClient]) -> dict[str, Any]:
        parameters = inspect.signature(client).parameters
        return {name: (p.kind, p.default) for name, p in parameters.items()}

    assert options(Pulse) == options(AsyncPulse)
    for name in public(Pulse) - {"close"}:
        assert getattr(Pulse, name).__doc__
        assert getattr(AsyncPulse, name).__doc__


async def _types(one: Pulse, other: AsyncPulse) -> None:
    """What mypy is to find; never run."""
    assert_type(one.posts.get(ID), posts.Post)
    assert_type(await other.posts.get(ID), posts.Post)
    assert_type(one.with_options(deadline=1).posts.get(ID), posts.Post)
    assert_type(await other.with_options(retries=0).feed.list().page(), social.FeedPage)
    assert_type(one.raw.posts.get(ID), Answer[posts.Post])
    assert_type(await other.with_options(timeout=1).raw.posts.get(ID), Answer[posts.Post])
    assert_type(one.raw.feed.list(), Answer[social.FeedPage])
    assert_type([post async for post in other.posts.list()], list[posts.Post])
    both = await asyncio.gather(other.posts.get(ID), other.feed.list().page())
    assert_type(both, tuple[posts.Post, social.FeedPage])
    assert_type(Pulse.login("", "", ""), Pulse)
    assert_type(await AsyncPulse.login("", "", "", deadline=1), AsyncPulse)
    async with AsyncPulse.login("", "", "") as entered:
        assert_type(entered, AsyncPulse)


MODELS = [
    model
    for module in (events, messaging, notifications, posts, social, users)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, common.ResponseModel)
]


def closed(annotation: Any) -> bool:
    """Whether a field takes certain values alone."""
    if get_origin(annotation) is Literal:
        return True
    inner = get_args(annotation)
    return bool(inner) and str not in inner and any(closed(one) for one in inner)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_values_and_fields_of_a_newer_server_are_no_error(model: type[BaseModel]) -> None:
    assert model.model_config["extra"] == "ignore"
    fields = {name: field for name, field in model.model_fields.items() if name != "type"}
    assert not [name for name, field in fields.items() if closed(field.annotation)]


def test_a_value_that_is_not_known_yet_is_kept() -> None:
    user = {"id": ID, "username": "ada", "display_name": "Ada", "bio": "", "created_at": NOW}
    assert users.User.model_validate({**user, "visibility": "newer"}).visibility == "newer"
    answer = {"event_id": ID, "user_id": ID, "answer": "perhaps", "updated_at": NOW}
    assert events.Rsvp.model_validate(answer).answer == "perhaps"
