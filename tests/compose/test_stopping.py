"""How containers end; the tests of the stack that others use are before this file's last."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulse_cli.stack.model import SERVICE_NAMES
from pulse_cli.targets.compose.engine import connect
from pulse_cli.targets.compose.project import project_name
from tests.conftest import RunningStack, pulse

pytestmark = pytest.mark.timeout(900)


def test_what_cannot_start_is_shown_and_removed(tmp_path: Path, settings: str) -> None:
    (tmp_path / "pulse.toml").write_text(settings.replace("pulse-test/redis", "no-such/img"))
    missing = pulse(tmp_path, "up", "--isolated")
    assert missing.returncode == 5
    assert "no-such/img" in missing.stderr
    assert "images.redis" in missing.stderr

    # The base image runs, and is no Redis.
    broken = settings.replace("pulse-test/redis", "pulse-test/base")
    (tmp_path / "pulse.toml").write_text(broken)
    failed = pulse(tmp_path, "up", "--isolated")
    assert failed.returncode in {6, 7}
    assert "redis" in failed.stderr
    assert connect(project_name(tmp_path / ".pulse")).containers() == {}


def test_down_removes_everything_without_the_state_folder(stack: RunningStack) -> None:
    stack.state.rename(stack.state.with_name("away"))
    down = stack.pulse("down")
    assert down.returncode == 0, down.stderr
    assert f"stopped {len(SERVICE_NAMES) + 9}" in down.stderr
    engine = connect(project_name(stack.state))
    assert engine.containers() == {}
    assert engine.networks() == []
    again = stack.pulse("down")
    assert again.returncode == 0
    assert "nothing was running" in again.stderr
