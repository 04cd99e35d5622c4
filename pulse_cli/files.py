"""Files replaced whole: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter (0700), and those above it; return it.

    Raises:
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


Owner = tuple[int, int]
"""The numbers of a user and a group."""


def write_private(path: Path, content: str, owner: Owner | None = None) -> bool:
    """Replace a file (0600) by rename, unless it already says this; return whether it changed.

    With an owner, which only root may give, it is theirs as soon as it is there.

    Raises:
        OSError: it cannot be written; the old content is then still whole.
    """
    return _replace(path, content, 0o600, owner)


def write_public(path: Path, content: str) -> bool:
    """Do the same with a file that everybody may read (0644).

    Raises:
        OSError: it cannot be written; the old content is then still whole.
    """
    return _replace(path, content, 0o644)


def _replace(path: Path, content: str, mode: int, owner: Owner | None = None) -> bool:
    if _read(path) == content:
        path.chmod(mode)
        if owner is not None:
            os.chown(path, *owner)
        return False
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        new.chmod(mode)
        if owner is not None:
            os.chown(new, *owner)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
