"""Builds the reference of `pulse_sdk` out of its docstrings: `python docs/reference.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args

import pdoc
import pdoc.render

import pulse_sdk
from pulse_sdk import AsyncPulse, Pulse
from pulse_sdk._areas import Areas
from pulse_sdk._client import BaseClient
from pulse_sdk.client import AsyncPulseOptions, PulseOptions
from pulse_sdk.contract.common import Page
from pulse_sdk.resources._base import Resource
from pulse_sdk.testing import FakePulse

_LEFT_OUT = (
    *("client", "resources._base"),
    *(f"contract.{name}" for name in ("domain", "health", "internal", "problems")),
)
"""What makes the clients, which are on the first page, and what services share alone."""

_MACHINERY = ("send", "list", "listen", "drive", "flow", "credentials")
"""What a client's areas use of it."""

_EACH_CLIENT = """

Signatures are those with `Pulse`. With `AsyncPulse` calls are awaited, and lists are gone through
with `async for`; the methods of `client.raw` return an `Answer`."""


def areas() -> dict[str, type[Resource[Areas]]]:
    """The areas of a client by their names there."""
    client = Pulse("http://pulse")
    return {name: type(getattr(client, name)) for name in _public(Areas)}


def write(folder: Path) -> None:
    """Write the pages into a folder."""
    shown = {name: _shown(area) for name, area in areas().items()}
    for area in areas().values():
        # pdoc looks at what a class holds, which are builders, and at what a function wraps.
        for name in _public(area):
            method = getattr(area, name)
            del method.__wrapped__
            setattr(area, name, method)
            for page in get_args(method.__annotations__["return"]):
                _name_as_written(page)
        area.__doc__ = f"{area.__doc__}{_EACH_CLIENT}"
    for client in (Pulse, AsyncPulse):
        inherited = {name: vars(BaseClient)[name] for name in _public(BaseClient)}
        for name, member in {**shown, **inherited}.items():
            setattr(client, name, member)
        for name in _MACHINERY:
            if name in vars(client):
                vars(client)[name].__doc__ = "@private"
    # How pdoc writes the unpacking of a TypedDict is not Python.
    for method, options in (
        (Pulse.login, PulseOptions),
        (AsyncPulse.login, AsyncPulseOptions),
        (FakePulse.client, PulseOptions),
        (FakePulse.async_client, AsyncPulseOptions),
    ):
        method.__annotations__["options"] = options
    first = ["Pulse", "AsyncPulse"]
    names = [name for name in pulse_sdk.__all__ if name not in first]
    # A package that says what is imported from it is shown without its modules.
    modules = [module.name for module in iter_modules(pulse_sdk.__path__)]
    pulse_sdk.__all__ = first + names + [name for name in modules if not name.startswith("_")]
    pdoc.render.configure(docformat="google", search=True, show_source=False)
    left_out = (f"!pulse_sdk.{name}" for name in _LEFT_OUT)
    pdoc.pdoc("pulse_sdk", *left_out, output_directory=folder)


def _name_as_written(page: type[Page[Any]]) -> None:
    """Call a `Page[Post]` after the module of `Page`, and have no module show it as its own.

    To pydantic it is a class of the module that named it first.
    """
    if "[" in page.__name__:
        vars(sys.modules[page.__module__]).pop(page.__name__, None)
        page.__module__ = Page.__module__


def _public(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def _shown(kind: type[Resource[Areas]]) -> property:
    """An area as a property of a client, which tells its class."""

    def area(self: BaseClient) -> object:
        return kind(self)

    area.__doc__ = kind.__doc__
    area.__annotations__["return"] = kind
    return property(area)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/reference.py FOLDER")
    write(Path(sys.argv[1]))
