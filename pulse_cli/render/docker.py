"""The services' image: a Dockerfile and everything that it is built from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import requires, version
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pulse_cli.render.jinja import fill
from pulse_cli.stack.model import Stack

DISTRIBUTION = "pulse-platform"

EXTRAS = ("services", "tracing")
"""What the services need; the command and its tests stay outside."""

PACKAGES = ("services", "pulse_sdk")

MARKER = re.compile(r"(?:\s+and\s+)?extra\s*==\s*['\"](\w+)['\"]")

IGNORED = """\
**/__pycache__
**/*.pyc
"""


LOAD_EXTRAS = ("cli",)
LOAD_PACKAGES = ("scenarios", "pulse_cli", "pulse_sdk")


def files(stack: Stack) -> dict[str, str]:
    """Return the context that the image is built from, less the wheels of `compose.wheels`."""
    return _context(stack, PACKAGES, EXTRAS)


def load_files(stack: Stack) -> dict[str, str]:
    """Return the context of the image that makes load in a cluster: Locust and the scenarios."""
    return _context(stack, LOAD_PACKAGES, LOAD_EXTRAS)


def _context(stack: Stack, packages: Sequence[str], extras: Sequence[str]) -> dict[str, str]:
    dockerfile = fill(
        "docker/Dockerfile.j2", images=stack.images, wheels=bool(stack.compose.wheels)
    )
    found = {
        "Dockerfile": dockerfile,
        ".dockerignore": IGNORED,
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(extras)),
        "constraints.txt": _constraints(),
    }
    for package in packages:
        found |= dict(_sources(resources(package), f"app/{package}"))
    release = version(DISTRIBUTION)
    # By this the program knows its own version.
    name = f"app/{DISTRIBUTION.replace('-', '_')}-{release}.dist-info/METADATA"
    found[name] = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {release}\n"
    return found


def _requirements(extras: Sequence[str]) -> Iterator[str]:
    """Yield what the services need, without the extras that pip would have to know of."""
    for line in requires(DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        extra = MARKER.search(marker)
        if extra is None or extra[1] in extras:
            rest = MARKER.sub("", marker).strip()
            yield f"{requirement.strip()}; {rest}" if rest else requirement.strip()


def _constraints() -> str:
    """Return the versions that this release was tested with.

    They are packed beside the templates; a checkout has them in its root.
    """
    packed = resources("templates") / "docker" / "constraints.txt"
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    return (Path(str(resources("templates"))).parent / "constraints.txt").read_text("utf-8")


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _sources(entry, f"{path}/{entry.name}")
        elif not entry.name.endswith(".pyc"):
            yield f"{path}/{entry.name}", entry.read_text(encoding="utf-8")
