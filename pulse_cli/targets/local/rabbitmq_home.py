"""A private, trimmed RABBITMQ_HOME.

Erlang looks for every module in every plugin folder, so the plugins that nothing uses make up
half of the broker's boot: a home with only the broker's own applications starts in under 6 s
instead of 12 to 16 (measured with RabbitMQ 3.10 on two cores).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_APPLICATIONS = re.compile(r"\{\s*applications\s*,\s*\[([^\]]*)\]")


def trim(home: Path, into: Path) -> Path:
    """Copy `home`'s scripts into a fresh folder and link the plugins that the broker needs.

    A folder made earlier from the same home is kept. RabbitMQ reads single-file plugins
    (`.ez`) too; a home made of those is returned as it is.
    """
    stamp = into / "source"
    if stamp.is_file() and stamp.read_text() == str(home):
        return into
    needed = needed_plugins(home / "plugins")
    if not needed:
        return home
    shutil.rmtree(into, ignore_errors=True)
    (into / "plugins").mkdir(parents=True)
    shutil.copytree(home / "sbin", into / "sbin", symlinks=False)
    for folder in needed:
        (into / "plugins" / folder.name).symlink_to(folder)
    stamp.write_text(str(home))
    return into


def needed_plugins(plugins: Path) -> list[Path]:
    """Return the plugin folders that the `rabbit` application needs, itself included."""
    folders = {p.name.rsplit("-", 1)[0]: p for p in plugins.glob("*-*") if p.is_dir()}
    needed: dict[str, Path] = {}
    waiting = ["rabbit"]
    while waiting:
        name = waiting.pop()
        folder = folders.get(name)
        if folder is None or name in needed:
            continue  # an application of Erlang itself, or one that is already there
        needed[name] = folder
        waiting += _applications(folder / "ebin" / f"{name}.app")
    return sorted(needed.values())


def _applications(app_file: Path) -> list[str]:
    match = _APPLICATIONS.search(app_file.read_text(encoding="utf-8"))
    return re.findall(r"\w+", match[1]) if match else []
