"""Folders of rendered files: what differs from what would be rendered now, and making it so.

A list of what was written (`.pulse-rendered.json`) tells files of ours, which are replaced and,
once nothing renders them, removed, from files of others, which are never touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from pulse_cli.errors import Unusable
from pulse_cli.files import write_private, write_public
from pulse_cli.render.renderables import Files

RECORD = ".pulse-rendered.json"


class Change(StrEnum):
    """How a file on disk differs from what would be rendered now."""

    MISSING = "missing"
    DIFFERENT = "different"
    STALE = "stale"
    """An earlier rendering wrote it, and this one does not."""


@dataclass(frozen=True)
class Difference:
    """One file that is not as it would be rendered now."""

    path: str
    """Relative to the folder."""
    change: Change


def differences(folder: Path, rendered: Mapping[str, Files]) -> list[Difference]:
    """Return what is not in a folder as it was rendered, by renderable, in the order of paths.

    Raises:
        OSError: a file cannot be read.
    """
    return sorted(_compare(folder, rendered, _record(folder)), key=lambda found: found.path)


def write(folder: Path, rendered: Mapping[str, Files], private: bool = False) -> list[Difference]:
    """Make a folder hold what was rendered, by renderable; return what was not so before.

    What is `private`, for it holds secrets, only its owner may read.

    Raises:
        Unusable: a file that Pulse did not write stands where one of Pulse's belongs.
        OSError: a file cannot be read, written or removed.
    """
    recorded = _record(folder)
    found = differences(folder, rendered)
    ours = {path for paths in recorded.values() for path in paths}
    for one in found:
        if one.change is Change.DIFFERENT and one.path not in ours:
            raise Unusable(
                f"{folder / one.path} is not a file that pulse render wrote: "
                "move it away, or render into another folder with -o"
            )
    wanted = _by_path(rendered)
    recorded |= {
        name: sorted(f"{name}/{path}" for path in files) for name, files in rendered.items()
    }
    for one in found:
        file = folder / one.path
        if one.change is Change.STALE:
            file.unlink()
            _remove_empty(file.parent, folder)
        else:
            _make(file.parent)
            (write_private if private else write_public)(file, wanted[one.path])
    _make(folder)
    record = {"rendered_by": f"Pulse {version('pulse-platform')}", "files": recorded}
    write_public(folder / RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return found


def _compare(
    folder: Path, rendered: Mapping[str, Files], recorded: Mapping[str, list[str]]
) -> Iterator[Difference]:
    wanted = _by_path(rendered)
    for path, content in wanted.items():
        file = folder / path
        if not file.is_file():
            yield Difference(path, Change.MISSING)
        elif file.read_bytes() != content.encode():
            yield Difference(path, Change.DIFFERENT)
    for name in rendered:
        for path in recorded.get(name, ()):
            if path not in wanted and (folder / path).is_file():
                yield Difference(path, Change.STALE)


def _by_path(rendered: Mapping[str, Files]) -> dict[str, str]:
    return {
        f"{name}/{path}": text for name, files in rendered.items() for path, text in files.items()
    }


def _record(folder: Path) -> dict[str, list[str]]:
    """Return the paths that earlier renderings wrote, by renderable."""
    file = folder / RECORD
    if folder.exists() and not folder.is_dir():
        raise Unusable(f"{folder} is not a folder: render into another with -o")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))["files"]
        return {name: [path for path in paths if _inside(path)] for name, paths in record.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unusable(f"{file} was not written by pulse render: remove it") from None


def _inside(path: str) -> bool:
    """Whether a path stays in its folder, whoever wrote the record that names it."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Unusable(f"{folder} cannot be made: a file stands in its way") from None


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
