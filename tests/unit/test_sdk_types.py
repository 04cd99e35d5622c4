"""The types that programs find at run time: documentation tools, frameworks, agents."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError, validate_call

import pulse_sdk
from pulse_sdk import AsyncPulse, Pulse
from pulse_sdk.contract.common import Page
from pulse_sdk.contract.posts import Post
from pulse_sdk.paging import AsyncListing, Listing
from pulse_sdk.raw import Answer
from pulse_sdk.testing import FakePulse

AREAS = ("auth", "users", "posts", "social", "feed", "conversations", "notifications", "events")


def public(names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, one) for name, one in names.items() if not name.startswith("_")]


def functions(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """What a class has that takes or returns something."""
    for name, one in [("__init__", kind.__dict__.get("__init__")), *public(vars(kind))]:
        match one:
            case property():
                found: Any = one.fget
            case cached_property():
                found = one.func
            case _:
                found = getattr(kind, name)
        found = getattr(found, "__func__", found)
        if inspect.isfunction(found):
            yield name, found


def surface(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Everything public of a module that has types: classes, what they have, functions."""
    for name, one in public(vars(module)):
        if getattr(one, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(one):
            yield name, one
            yield from ((f"{name}.{method}", function) for method, function in functions(one))
        elif inspect.isfunction(one):
            yield name, one


MODULES = [
    found.name
    for found in walk_packages(pulse_sdk.__path__, "pulse_sdk.")
    if not any(part.startswith("_") for part in found.name.split("."))
]


@pytest.mark.parametrize("name", MODULES)
def test_every_type_can_be_had(name: str) -> None:
    for what, one in surface(import_module(name)):
        try:
            typing.get_type_hints(one, include_extras=True)
        except NameError as error:
            pytest.fail(f"{what}: {error}")


def test_clients_and_areas_are_looked_at() -> None:
    clients = dict(surface(import_module("pulse_sdk.client")))
    assert {"Pulse.__init__", "Pulse.login", "AsyncPulse.login"} <= clients.keys()
    assert "Posts.list" in dict(surface(import_module("pulse_sdk.resources.posts")))


@pytest.mark.parametrize(
    ("client", "created", "listed"),
    [
        (Pulse("http://pulse"), Post, Listing[Page[Post]]),
        (AsyncPulse("http://pulse"), Post, AsyncListing[Page[Post]]),
        (Pulse("http://pulse").raw, Answer[Post], Answer[Page[Post]]),
        (AsyncPulse("http://pulse").raw, Answer[Post], Answer[Page[Post]]),
    ],
    ids=["Pulse", "AsyncPulse", "raw", "asynchronous raw"],
)
def test_a_method_says_what_its_client_returns(client: Any, created: Any, listed: Any) -> None:
    for method, returned in (client.posts.create, created), (client.posts.list, listed):
        assert inspect.signature(method).return_annotation == returned
        assert typing.get_type_hints(method)["return"] == returned
    assert inspect.signature(client.posts.list).parameters["author_id"].annotation == (
        UUID | str | None
    )


@pytest.mark.parametrize("area", AREAS)
def test_every_method_can_be_called_through_pydantic(area: str) -> None:
    found = getattr(Pulse("http://pulse"), area)
    methods = [getattr(found, name) for name, _ in public(vars(type(found)))]
    for method in methods:
        with pytest.raises(ValidationError, match="Unexpected keyword argument"):
            validate_call(method)(no_such_argument=1)


def test_a_call_through_pydantic_is_checked_and_made() -> None:
    ada = FakePulse().join("ada")
    create = validate_call(ada.pulse.posts.create)
    assert create("Hello").text == "Hello"
    with pytest.raises(ValidationError, match="valid string"):
        create(7)  # type: ignore[arg-type]
