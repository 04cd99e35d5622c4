"""Filling templates: strict (a missing value is an error) and stamped with the version."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from functools import cache
from importlib.metadata import version

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket

from pulse_cli.errors import Unusable

NOT_IN_INI = re.compile(r"[\r\n]|\s[;#]")
"""What Supervisor's configuration cannot hold: it has no escape for these."""


def fill(template: str, **values: object) -> str:
    """Return a template of `templates/` filled with values; `version` is Pulse's own.

    The filter `json` writes a value so that JSON and YAML both read it back.

    Raises:
        UndefinedError: the template wants a value that is not there.
        Unusable: a value cannot be written in the template's format.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("templates", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_compiled(),
        optimized=False,  # so that what is kept follows from the template alone
        autoescape=False,  # noqa: S701 - no HTML is rendered; each format has its own filter
    )
    environment.globals["version"] = version("pulse-platform")
    environment.filters["json"] = lambda value: json.dumps(value, default=str, ensure_ascii=False)
    environment.filters["lua_string"] = _lua_string
    environment.filters["seconds"] = lambda value: f"{value:.9f}s"
    environment.filters["command"] = lambda argv: _ini(shlex.join(argv))
    environment.filters["ini"] = _ini
    environment.filters["quoted"] = _quoted
    return environment


class _Compiled(FileSystemBytecodeCache):
    """Templates as Python code, kept for the next command: compiling them takes most of its time.

    They lie in a folder below /tmp that only this user may enter, and follow the templates.
    """

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):  # a full disk: the next command compiles again
            super().dump_bytecode(bucket)


def _compiled() -> _Compiled | None:
    """Return what keeps compiled templates; nothing where no folder is this user's alone."""
    try:
        return _Compiled()
    except (OSError, RuntimeError):
        return None


def _lua_string(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _ini(value: object) -> str:
    text = str(value)
    if NOT_IN_INI.search(text):
        raise Unusable(f"{text!r} cannot be used: it has a line break, or ; or # after a space")
    return text.replace("%", "%%")


def _quoted(value: object) -> str:
    if '"' in str(value):
        raise Unusable(f"{str(value)!r} cannot be used: it has a double quote")
    return f'"{_ini(value)}"'
