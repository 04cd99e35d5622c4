"""Reading the stack: defaults, then `pulse.toml`, then `PULSE_*` variables, then flags.

Every wrong value ends in one sentence that says where it came from and what is allowed there.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.stack.model import Stack

FILE_NAME = "pulse.toml"
ENV_PREFIX = "PULSE_"
ENV_DELIMITER = "__"
ENV_OF_CLIENTS = frozenset({"PULSE_API_URL", "PULSE_URL", "PULSE_LOGIN", "PULSE_PASSWORD"})
"""Variables that are no part of the stack: `pulse api` and programs with the client read them."""

Key = tuple[str, ...]


@dataclass
class _Layers:
    """The merged values, and where each came from."""

    values: dict[str, Any] = field(default_factory=lambda: Stack().model_dump(mode="json"))
    origins: dict[Key, str] = field(default_factory=dict)

    def put(self, key: Key, value: object, origin: str) -> None:
        """Set one value, or each value of a table.

        A value that stands where a table belongs stays there, and is reported as wrong.
        """
        table = self.values
        for part in key[:-1]:
            if table.get(part) is None:  # a table that by default is not there
                table[part] = {}
            table = table[part]
            if not isinstance(table, dict):
                return
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                self.put((*key, name), inner, origin)
        elif value != {} or key[-1] not in table:
            table[key[-1]] = value
            self.origins[key] = origin

    def origin(self, key: Key) -> str:
        """Return where a key, or what lies above or below it, came from."""
        for candidate, origin in reversed(self.origins.items()):
            shared = min(len(candidate), len(key))
            if candidate[:shared] == key[:shared]:
                return origin
        return "the configuration"


def load_stack(
    project_dir: Path,
    overrides: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
) -> Stack:
    """Load the stack of a project folder.

    Args:
        project_dir: where `pulse.toml` lies, if there is one.
        overrides: flags by dotted key, such as `{"services.posts.replicas": 2}`; text is read
            as a variable's is.
        environ: the environment; the process's own by default.

    Raises:
        ConfigError: a key is unknown or a value is not allowed.
    """
    layers = _Layers()
    file = project_dir / FILE_NAME
    for name, value in _read_toml(file).items():
        layers.put((name,), value, str(file))
    for name, text in sorted((os.environ if environ is None else environ).items()):
        if name.startswith(ENV_PREFIX) and name not in ENV_OF_CLIENTS:
            path = tuple(name.removeprefix(ENV_PREFIX).lower().split(ENV_DELIMITER))
            layers.put(path, _parse(text), name)
    for dotted, value in overrides.items():
        parsed = _parse(value) if isinstance(value, str) else value
        layers.put(tuple(dotted.split(".")), parsed, f"--set {dotted}")
    try:
        # As strict JSON, so that lists and addresses are read but `true` is no number.
        return Stack.model_validate_json(json.dumps(layers.values, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(_explain(error, layers)) from None


def running_stack(state: Path) -> Stack | None:
    """Return the stack that a state folder says is running, `None` when it says none is.

    Raises:
        NotHealthy: the record of it cannot be understood.
    """
    return recorded_stack(state / "run" / "stack.json")


def recorded_stack(record: Path) -> Stack | None:
    """Return the stack of a record, `None` when there is none.

    Raises:
        NotHealthy: it cannot be understood.
    """
    try:
        return Stack.model_validate_json(record.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError:
        raise NotHealthy(
            f"{record} was not written by this version of Pulse; "
            "start the stack afresh with: pulse down && pulse up"
        ) from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file.is_symlink():
            raise ConfigError(f"{file} is a link to a file that is not there") from None
        return {}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def _parse(text: str) -> object:
    """Read a variable's text as a TOML value, else as JSON, else as the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
        if parsed.keys() == {"value"}:
            return parsed["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _explain(error: ValidationError, layers: _Layers) -> str:
    """Say the first mistake as one sentence: where, which key, which value, what is allowed."""
    details = error.errors(include_url=False)
    unknown = next((d for d in details if d["type"] == "extra_forbidden"), None)
    first = unknown or details[0]
    key, value = _locate(first, layers.values)
    where = layers.origin(key)
    if unknown is not None:
        return f"{where}: unknown key {_dotted(key)!r}; {_known_keys(key)}"
    if not key:
        return f"{_sources(layers)}: {_allowed(first)}"
    wanted = [_allowed(d) for d in details if _locate(d, layers.values)[0] == key]
    allowed = " or ".join(dict.fromkeys(wanted))
    return f"{where}: {_dotted(key)} = {_shown(value)} is not allowed: it {allowed}"


def _locate(error: ErrorDetails, values: Mapping[str, Any]) -> tuple[Key, object]:
    """Return the key of an error as it is written in the configuration, and its value."""
    key: list[str] = []
    value: Any = values
    for part in error["loc"]:
        try:
            value = value[part]
        except (TypeError, KeyError, IndexError):
            break  # pydantic's own name for a member of a union
        key.append(str(part))
    return tuple(key), value


def _known_keys(key: Key) -> str:
    model: type[BaseModel] = Stack
    for part in key[:-1]:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    known = sorted(model.model_fields)
    close = get_close_matches(key[-1], known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed here: {', '.join(known)}"


def _allowed(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    for start in ("Input should be ", "Input is not "):
        message = message.replace(start, "must be ")
    return message.replace("an object", "a table")


def _sources(layers: _Layers) -> str:
    return ", ".join(dict.fromkeys(layers.origins.values())) or "the configuration"


def _dotted(key: Key) -> str:
    return ".".join(key)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
