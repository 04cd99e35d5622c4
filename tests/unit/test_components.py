"""Finding the local target's programs, and trimming RabbitMQ's home."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulse_cli import components
from pulse_cli.errors import ExitCode, MissingComponent
from pulse_cli.targets.local.rabbitmq_home import needed_plugins, trim


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def plugin(plugins: Path, name: str, *needs: str) -> Path:
    folder = plugins / f"{name}-1.2.3"
    (folder / "ebin").mkdir(parents=True)
    app = f'{{application, {name}, [{{vsn, "1"}}, {{applications, [{", ".join(needs)}]}}]}}.'
    (folder / "ebin" / f"{name}.app").write_text(app)
    return folder


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_rabbitmq_is_found_where_it_was_unpacked(tmp_path: Path, data_home: Path) -> None:
    root = data_home / "pulse" / "packages"
    for version in ("3.9.1", "3.10.8"):
        home = root / f"usr/lib/rabbitmq/lib/rabbitmq_server-{version}"
        program(home / "sbin" / "rabbitmq-server")
    epmd = program(root / "usr/lib/erlang/bin/epmd")
    program(root / "usr/lib/erlang/bin/erl")
    found = components._rabbitmq_in(root)
    assert found == components.RabbitMQ(home, epmd)


def test_erlang_without_rabbitmq_is_not_enough(tmp_path: Path) -> None:
    program(tmp_path / "usr/lib/erlang/bin/epmd")
    program(tmp_path / "usr/lib/erlang/bin/erl")
    assert components._rabbitmq_in(tmp_path) is None


def test_everything_missing_is_named_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "find_rabbitmq", lambda _state: None)
    monkeypatch.setattr(components, "find_redis", lambda: None)
    with pytest.raises(MissingComponent) as missing:
        components.find_binaries(tmp_path)
    assert missing.value.exit_code == ExitCode.MISSING
    said = str(missing.value)
    assert said.startswith("redis, rabbitmq are not on this machine")
    assert "pulse-platform[local]" in said
    assert "rabbitmq-server" in said


def test_a_program_that_may_not_be_run_is_not_found(tmp_path: Path) -> None:
    path = program(tmp_path / "redis-server")
    path.chmod(0o644)
    assert not components._runs(path)


def test_only_what_rabbit_needs_is_linked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program(home / "sbin" / "rabbitmq-server")
    plugins = home / "plugins"
    plugin(plugins, "rabbit", "kernel", "ra", "rabbit_common")
    plugin(plugins, "ra", "seshat")
    plugin(plugins, "seshat")
    plugin(plugins, "rabbit_common")
    plugin(plugins, "rabbitmq_management", "rabbit")
    names = {p.name for p in needed_plugins(plugins)}
    assert names == {"rabbit-1.2.3", "ra-1.2.3", "seshat-1.2.3", "rabbit_common-1.2.3"}

    trimmed = trim(home, tmp_path / "trimmed")
    assert {p.name for p in (trimmed / "plugins").iterdir()} == names
    assert (trimmed / "sbin" / "rabbitmq-server").is_file()
    kept = (trimmed / "source").stat().st_mtime_ns
    assert trim(home, tmp_path / "trimmed") == trimmed
    assert (trimmed / "source").stat().st_mtime_ns == kept


def test_a_home_of_plugin_archives_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "rabbit-3.8.9.ez").touch()
    assert trim(tmp_path, tmp_path / "trimmed") == tmp_path
