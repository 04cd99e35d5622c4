"""What people read of a method: in the reference, in `help`, and in its signature."""

from __future__ import annotations

import html
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pulse_sdk
from pulse_sdk import AsyncPulse, Pulse
from pulse_sdk.realtime import Realtime
from pulse_sdk.resources._base import Resource

ROOT = Path(__file__).parents[2]
AREAS = (
    *("auth", "users", "posts", "social", "feed", "conversations", "notifications", "events"),
    "realtime",
)


def methods() -> list[tuple[type[Resource[Any]], str]]:
    client = Pulse("http://pulse")
    kinds = [type(getattr(client, area)) for area in AREAS]
    return [(kind, name) for kind in kinds for name in vars(kind) if not name.startswith("_")]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    program = [sys.executable, str(ROOT / "docs" / "reference.py"), str(folder)]
    built = subprocess.run(program, capture_output=True, text=True, check=False, timeout=250)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


def read(page: Path) -> str:
    """What a page says, without its tags."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize(("kind", "name"), methods(), ids=lambda of: getattr(of, "__name__", of))
def test_every_method_is_in_the_reference(
    reference: Path, kind: type[Resource[Any]], name: str
) -> None:
    method = getattr(kind, name)
    page = reference / f"{kind.__module__.replace('.', '/')}.html"
    assert f'id="{kind.__name__}.{name}"' in page.read_text(encoding="utf-8")
    said = read(page)
    assert re.sub(r"\s+", "", inspect.getdoc(method) or "?").replace("`", "") in said
    if kind is not Realtime:  # whose signatures are overloads
        for parameter in inspect.signature(method).parameters.values():
            assert parameter.name in said


def test_what_can_be_imported_is_in_the_reference_and_what_services_share_is_not(
    reference: Path,
) -> None:
    first = (reference / "pulse_sdk.html").read_text(encoding="utf-8")
    for name in pulse_sdk.__all__:
        assert f'id="{name}"' in first
    for client in ("Pulse", "AsyncPulse"):
        for area in AREAS:
            assert f'id="{client}.{area}"' in first
    pages = {page.relative_to(reference / "pulse_sdk") for page in reference.glob("*/**/*.html")}
    assert Path("testing/factories.html") in pages
    assert not {Path(f"contract/{name}.html") for name in ("internal", "domain")} & pages
    assert not [page for page in pages if page.name.startswith("_")]
    posts = (reference / "pulse_sdk/resources/posts.html").read_text(encoding="utf-8")
    assert 'contract/common.html#Page"' in posts and 'id="Page[' not in posts


def test_a_method_says_whether_it_is_awaited() -> None:
    blocking, asynchronous = Pulse("http://pulse"), AsyncPulse("http://pulse")
    for method in (blocking.posts.create, blocking.raw.posts.create):
        assert not inspect.iscoroutinefunction(method)
    for coroutine in (asynchronous.posts.create, asynchronous.raw.posts.create):
        assert inspect.iscoroutinefunction(coroutine)


def test_help_shows_parameters_and_docs() -> None:
    client = AsyncPulse("http://pulse")
    for thing in (client.posts.create, type(client.posts)):
        shown = pydoc.plain(pydoc.render_doc(thing))
        assert "text: str, *, idempotency_key: str | None = None" in shown
        assert "never makes a second post" in shown
